package switchboard

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// chunkSize is how many bytes of a file go into one message; the server takes up to 4 MiB.
const chunkSize = 256 << 10

// SendMedia sends a file to a customer; the file is read to its end. An error of reading it is returned as it is, and then
// nothing was sent.
//
// The call is tried again like any other when the file can be read again, because it is an [io.Seeker] that can go back:
// a [*bytes.Reader], a [*strings.Reader], an [*os.File].
func (c *Client) SendMedia(
	ctx context.Context, header *switchboardv1.MediaHeader, file io.Reader,
) (*switchboardv1.SendMediaResponse, error) {
	header, id := withRequestID(header)
	return upload(ctx, c.retry, id, file, c.Messages.SendMedia, func(chunk []byte, first bool) *switchboardv1.SendMediaRequest {
		if first {
			return &switchboardv1.SendMediaRequest{Header: header, Chunk: chunk}
		}
		return &switchboardv1.SendMediaRequest{Chunk: chunk}
	})
}

// UploadTemplateMedia uploads a file for the header of a template. It reads and tries again as [Client.SendMedia] does.
func (c *Client) UploadTemplateMedia(
	ctx context.Context, header *switchboardv1.UploadTemplateMediaHeader, file io.Reader,
) (*switchboardv1.UploadTemplateMediaResponse, error) {
	header, id := withRequestID(header)
	return upload(ctx, c.retry, id, file, c.Templates.UploadTemplateMedia,
		func(chunk []byte, first bool) *switchboardv1.UploadTemplateMediaRequest {
			if first {
				return &switchboardv1.UploadTemplateMediaRequest{Header: header, Chunk: chunk}
			}
			return &switchboardv1.UploadTemplateMediaRequest{Chunk: chunk}
		})
}

func upload[Request, Response any](
	ctx context.Context, retry retrier, id string, file io.Reader,
	open func(context.Context, ...grpc.CallOption) (grpc.ClientStreamingClient[Request, Response], error),
	message func(chunk []byte, first bool) *Request,
) (*Response, error) {
	start, seeker := int64(0), io.Seeker(nil)
	if s, ok := file.(io.Seeker); ok {
		// A pipe is a file too, and says here that it cannot go back.
		if at, err := s.Seek(0, io.SeekCurrent); err == nil {
			start, seeker = at, s
		}
	}
	var response *Response
	started := false
	err := retry.do(ctx, seeker != nil, func() (err error) {
		if started {
			if _, err := seeker.Seek(start, io.SeekStart); err != nil {
				return fmt.Errorf("switchboard: reading the file again: %w", err)
			}
		}
		started = true
		response, err = uploadOnce(ctx, file, open, message)
		// A stream that could not be opened has not seen it.
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
	// Breaks the stream off when the file cannot be read: then the server sends nothing.
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
				break // The server has answered already.
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
