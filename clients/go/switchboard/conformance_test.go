package switchboard

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// The conformance table is clients/conformance. Its README.md describes the format.

// conformanceCases runs the cases of one file of the table, each as a parallel subtest.
func conformanceCases[Case interface{ name() string }](t *testing.T, file string, run func(*testing.T, Case)) {
	t.Helper()
	var cases []Case
	decodeStrictly(t, repositoryFile(t, "clients/conformance/"+file), &cases)
	if len(cases) < 5 {
		t.Fatalf("%s has only %d cases", file, len(cases))
	}
	for _, each := range cases {
		t.Run(each.name(), func(t *testing.T) {
			t.Parallel()
			run(t, each)
		})
	}
}

// decodeStrictly fails on keys that the target does not have.
func decodeStrictly(t *testing.T, encoded []byte, target any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(target); err != nil {
		t.Fatal(err)
	}
}

type caseName struct {
	Name string
	Why  string
}

func (c caseName) name() string { return c.Name }

type scriptedStatus struct {
	Code            string
	Message         string
	Reason          string
	Metadata        map[string]string
	RetryDelayMS    *int64           `json:"retry_delay_ms"`
	FieldViolations []FieldViolation `json:"field_violations"`
}

// err returns the status as an error that a server returns.
func (s *scriptedStatus) err(t *testing.T) error {
	t.Helper()
	var details []protoadapt.MessageV1
	if s.Reason != "" {
		details = append(details, &errdetails.ErrorInfo{Reason: s.Reason, Domain: Domain, Metadata: s.Metadata})
	}
	if len(s.FieldViolations) > 0 {
		request := &errdetails.BadRequest{}
		for _, violation := range s.FieldViolations {
			request.FieldViolations = append(request.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Field: violation.Field, Reason: violation.Reason, Description: violation.Description,
			})
		}
		details = append(details, request)
	}
	if s.RetryDelayMS != nil {
		details = append(details, &errdetails.RetryInfo{RetryDelay: milliseconds(*s.RetryDelayMS)})
	}
	made, err := status.New(codeNamed(t, s.Code), s.Message).WithDetails(details...)
	if err != nil {
		t.Fatal(err)
	}
	return made.Err()
}

// statusOr is a status, or one of the given words such as "ok".
type statusOr struct {
	word   string
	status *scriptedStatus
}

func (s *statusOr) UnmarshalJSON(encoded []byte) error {
	if encoded[0] == '"' {
		return json.Unmarshal(encoded, &s.word)
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.DisallowUnknownFields()
	s.status = &scriptedStatus{}
	return decoder.Decode(s.status)
}

// codeNamed returns the code of a name such as NOT_FOUND.
func codeNamed(t *testing.T, name string) codes.Code {
	t.Helper()
	var code codes.Code
	if err := code.UnmarshalJSON([]byte(`"` + name + `"`)); err != nil {
		t.Fatal(err)
	}
	return code
}

func milliseconds(number int64) *durationpb.Duration {
	return durationpb.New(time.Duration(number) * time.Millisecond)
}

// enumNumber returns the value of an enum's value name.
func enumNumber[Number ~int32](t *testing.T, values map[string]int32, name string) Number {
	t.Helper()
	number, ok := values[name]
	if !ok {
		t.Fatalf("unknown value %q", name)
	}
	return Number(number)
}

// bounds are the limits of a time in milliseconds, or of a number.
type bounds struct {
	AtLeast int64 `json:"at_least"`
	AtMost  int64 `json:"at_most"`
}

// UnmarshalJSON also accepts one exact number.
func (b *bounds) UnmarshalJSON(encoded []byte) error {
	if encoded[0] != '{' {
		err := json.Unmarshal(encoded, &b.AtLeast)
		b.AtMost = b.AtLeast
		return err
	}
	type plain bounds
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.DisallowUnknownFields()
	return decoder.Decode((*plain)(b))
}

func (b bounds) check(t *testing.T, what string, got int64) {
	t.Helper()
	if got < b.AtLeast || got > b.AtMost {
		t.Errorf("%s is %d, want %d to %d", what, got, b.AtLeast, b.AtMost)
	}
}

func (b bounds) checkTime(t *testing.T, what string, got time.Duration) {
	t.Helper()
	b.check(t, what+" in ms", got.Milliseconds())
}

type failureCase struct {
	caseName
	Status  *scriptedStatus
	Failure *struct {
		Reason          string
		Code            int32
		Message         string
		Provider        string
		ProviderName    string           `json:"provider_name"`
		ProviderCode    string           `json:"provider_code"`
		ProviderType    string           `json:"provider_type"`
		ProviderTraceID string           `json:"provider_trace_id"`
		ProviderMessage string           `json:"provider_message"`
		RetryDelayMS    *int64           `json:"retry_delay_ms"`
		RawJSON         string           `json:"raw_json"`
		FieldViolations []FieldViolation `json:"field_violations"`
		Metadata        map[string]string
	}
	Error struct {
		Code            string
		Message         string
		Reason          string
		Domain          string
		Constant        string
		Metadata        map[string]string
		ProviderMessage string           `json:"provider_message"`
		FieldViolations []FieldViolation `json:"field_violations"`
		RetryDelayMS    *int64           `json:"retry_delay_ms"`
	}
}

func TestConformanceOfFailures(t *testing.T) {
	t.Parallel()
	conformanceCases(t, "failures.json", func(t *testing.T, c failureCase) {
		if c.Status != nil {
			failed := c.Status.err(t)
			address := serveMessages(t, &fakeMessages{send: func(
				context.Context, *switchboardv1.SendMessageRequest,
			) (*switchboardv1.SendMessageResponse, error) {
				return nil, failed
			}})
			_, err := connect(t, address, WithMaxAttempts(1)).Messages.SendMessage(
				testContext(t), &switchboardv1.SendMessageRequest{})
			c.check(t, err)
		}
		if c.Failure != nil {
			f := c.Failure
			failure := &switchboardv1.Failure{
				Reason: f.Reason, Code: f.Code, Message: f.Message,
				Provider: enumNumber[switchboardv1.Provider](
					t, switchboardv1.Provider_value, cmp.Or(f.Provider, "PROVIDER_UNSPECIFIED")),
				ProviderName: f.ProviderName, ProviderCode: f.ProviderCode, ProviderType: f.ProviderType,
				ProviderTraceId: f.ProviderTraceID, ProviderMessage: f.ProviderMessage,
				RawJson: f.RawJSON, Metadata: f.Metadata,
			}
			for _, violation := range f.FieldViolations {
				failure.FieldViolations = append(failure.FieldViolations, &switchboardv1.FieldViolation{
					Field: violation.Field, Reason: violation.Reason, Description: violation.Description,
				})
			}
			if f.RetryDelayMS != nil {
				failure.RetryDelay = milliseconds(*f.RetryDelayMS)
			}
			c.check(t, ErrorFrom(failure))
		}
	})
}

func (c *failureCase) check(t *testing.T, err error) {
	t.Helper()
	failure, ok := err.(*Error)
	if !ok {
		t.Fatalf("got %T: %v", err, err)
	}
	want := c.Error
	for _, each := range []struct{ what, got, want string }{
		{"code", failure.Code.String(), codeNamed(t, want.Code).String()},
		{"message", failure.Message, want.Message},
		{"reason", failure.Reason, want.Reason},
		{"domain", failure.Domain, want.Domain},
		{"constant", ParseReason(failure.Reason).String(), want.Constant},
		{"provider message", failure.ProviderMessage(), want.ProviderMessage},
	} {
		if each.got != each.want {
			t.Errorf("the %s is %q, want %q", each.what, each.got, each.want)
		}
	}
	if !maps.Equal(failure.Metadata, want.Metadata) {
		t.Errorf("the metadata is %q, want %q", failure.Metadata, want.Metadata)
	}
	if !slices.Equal(failure.Violations, want.FieldViolations) {
		t.Errorf("the violations are %q, want %q", failure.Violations, want.FieldViolations)
	}
	delay, ok := failure.RetryDelay()
	if ok != (want.RetryDelayMS != nil) || ok && delay.Milliseconds() != *want.RetryDelayMS {
		t.Errorf("the delay is %v, %v", delay, ok)
	}
	if private := want.ProviderMessage; private != "" && strings.Contains(fmt.Sprint(err), private) {
		t.Error("the printed error contains the provider's message")
	}
}
