package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"switchboard.example/go/switchboard"
	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// Runs the table that all five client libraries share.
func TestConformanceOfAnswers(t *testing.T) {
	table, err := os.ReadFile("../../../conformance/answers.json")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("this test needs the Switchboard repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name   string
		Status struct {
			Code         codes.Code
			Reason       string
			Metadata     map[string]string
			RetryDelayMS *int64 `json:"retry_delay_ms"`
		}
		Then decision
	}
	if err := json.Unmarshal(table, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 10 {
		t.Fatalf("the table has only %d cases", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			failure := &switchboardv1.Failure{
				Code: int32(c.Status.Code), Reason: c.Status.Reason, Metadata: c.Status.Metadata,
			}
			if c.Status.RetryDelayMS != nil {
				failure.RetryDelay = durationpb.New(time.Duration(*c.Status.RetryDelayMS) * time.Millisecond)
			}
			if got := decide(switchboard.ErrorFrom(failure).(*switchboard.Error)); got != c.Then {
				t.Errorf("got %q, want %q", got, c.Then)
			}
		})
	}
}
