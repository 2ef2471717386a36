package switchboard

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// chunkSize is how many bytes of a file one message carries. The server accepts messages up to 4 MiB.
const chunkSize = 256 << 10

// SendMedia sends a file to a customer. It reads the file to its end. If reading fails, it returns an error that wraps
// the read error, and nothing is sent.
//
// SendMedia retries like any other call if the file is an [io.Seeker] that can seek back: a [*bytes.Reader], a
// [*strings.Reader], an [*os.File].
func (c *Client) SendMedia(
	ctx context.Context, header *switchboardv1.MediaHeader, file io.Reader,
) (*switchboardv1.SendMediaResponse, error) {
	header, id := withRequestID(header)
	method := switchboardv1.MessageService_SendMedia_FullMethodName
	return upload(ctx, c.retry, method, id, file, c.Messages.SendMedia,
		func(chunk []byte, first bool) *switchboardv1.SendMediaRequest {
			if first {
				return &switchboardv1.SendMediaRequest{Header: header, Chunk: chunk}
			}
			return &switchboardv1.SendMediaRequest{Chunk: chunk}
		})
}

// UploadTemplateMedia uploads a file for the header of a template. It reads and retries like [Client.SendMedia].
func (c *Client) UploadTemplateMedia(
	ctx context.Context, header *switchboardv1.UploadTemplateMediaHeader, file io.Reader,
) (*switchboardv1.UploadTemplateMediaResponse, error) {
	header, id := withRequestID(header)
	method := switchboardv1.TemplateService_UploadTemplateMedia_FullMethodName
	return upload(ctx, c.retry, method, id, file, c.Templates.UploadTemplateMedia,
		func(chunk []byte, first bool) *switchboardv1.UploadTemplateMediaRequest {
			if first {
				return &switchboardv1.UploadTemplateMediaRequest{Header: header, Chunk: chunk}
			}
			return &switchboardv1.UploadTemplateMediaRequest{Chunk: chunk}
		})
}

func upload[Request, Response any](
	ctx context.Context, retry retrier, method, id string, file io.Reader,
	open func(context.Context, ...grpc.CallOption) (grpc.ClientStreamingClient[Request, Response], error),
	message func(chunk []byte, first bool) *Request,
) (*Response, error) {
	start, seeker := int64(0), io.Seeker(nil)
	if s, ok := file.(io.Seeker); ok {
		// A pipe is also an *os.File, but its Seek fails.
		if at, err := s.Seek(0, io.SeekCurrent); err == nil {
			start, seeker = at, s
		}
	}
	var response *Response
	started := false
	err := retry.do(ctx, method, seeker != nil, func() (err error) {
		if started {
			if _, err := seeker.Seek(start, io.SeekStart); err != nil {
				return fmt.Errorf("switchboard: seeking to the start of the file: %w", err)
			}
		}
		started = true
		response, err = uploadOnce(ctx, file, open, message)
		// If the stream could not be opened, its error lacks the request_id.
		if failure, ok := errors.AsType[*Error](err); ok {
			failure.RequestID = id
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return response, nil
}

func uploadOnce[Request, Response any](
	ctx context.Context, file io.Reader,
	open func(context.Context, ...grpc.CallOption) (grpc.ClientStreamingClient[Request, Response], error),
	message func(chunk []byte, first bool) *Request,
) (*Response, error) {
	// Cancel the stream if the file cannot be read, because the server sends only complete files.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := open(ctx)
	if err != nil {
		return nil, err
	}
	for first := true; ; first = false {
		chunk := make([]byte, chunkSize)
		n, readErr := io.ReadFull(file, chunk)
		end := readErr == io.EOF || readErr == io.ErrUnexpectedEOF
		if readErr != nil && !end {
			return nil, fmt.Errorf("switchboard: reading the file: %w", readErr)
		}
		if n > 0 || first {
			if err := stream.Send(message(chunk[:n], first)); err == io.EOF {
				break // The server has already replied.
			} else if err != nil {
				return nil, err
			}
		}
		if end {
			break
		}
	}
	return stream.CloseAndRecv()
}
