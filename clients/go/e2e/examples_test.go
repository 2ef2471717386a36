package e2e

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// buildTimeout limits a build with a cold cache.
const buildTimeout = 3 * time.Minute

// buildExamples builds all examples and returns their folder.
func buildExamples(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), buildTimeout)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", folder, "../examples/...").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return folder
}

func TestExamplesRun(t *testing.T) {
	folder := buildExamples(t)
	server := startSandbox(t)
	client := connect(t, server.address)
	image := filepath.Join(t.TempDir(), "picture.png")
	if err := os.WriteFile(image, picture(t, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(ctx context.Context, name string, args ...string) *exec.Cmd {
		command := exec.CommandContext(ctx, filepath.Join(folder, name), args...)
		command.Env = append(os.Environ(), "SWITCHBOARD_ADDRESS="+server.address)
		return command
	}

	for _, test := range []struct{ account, name, arg string }{
		{connectly, "send_text", ""}, {connectby, "send_template", ""}, {connectby, "upload_media", image},
	} {
		t.Run(test.name, func(t *testing.T) {
			var args []string
			if test.arg != "" {
				args = append(args, test.arg)
			}
			out, err := run(testContext(t), test.name, args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			id, ok := strings.CutPrefix(strings.TrimSpace(string(out)), "sent ")
			if !ok {
				t.Fatalf("got output %q", out)
			}
			got, err := client.Messages.GetMessage(testContext(t), &switchboardv1.GetMessageRequest{
				Account: test.account, Key: &switchboardv1.GetMessageRequest_MessageId{MessageId: id},
			})
			if err != nil || got.GetMessage().GetTo() != customer {
				t.Errorf("got message %v, %v", got, err)
			}
		})
	}

	t.Run("answer", func(t *testing.T) {
		start := func(name string) (*exec.Cmd, *bufio.Scanner) {
			command := run(testContext(t), name)
			command.Stderr = os.Stderr
			out, err := command.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			return command, bufio.NewScanner(out)
		}
		// answered returns the ids of the event and of the reply in the next line.
		answered := func(lines *bufio.Scanner) (event, message string) {
			lines.Scan()
			words := strings.Fields(lines.Text())
			if len(words) != 4 || words[0] != "answered" {
				t.Fatalf("got output %q", lines.Text())
			}
			return words[1], words[3]
		}
		interrupt := func(command *exec.Cmd, lines *bufio.Scanner) {
			if err := command.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			for lines.Scan() {
				t.Errorf("got extra output %q", lines.Text())
			}
			if err := command.Wait(); err != nil {
				t.Error(err)
			}
		}
		// The statement comes first. If the program answered it, that reply would come first too.
		for _, text := range []string{"I like Sundays.", "Do you deliver on Sundays?"} {
			if err := inject(testContext(t), client, text); err != nil {
				t.Fatal(err)
			}
		}
		command, lines := start("answer")
		event, answer := answered(lines)
		got, err := client.Messages.GetMessage(testContext(t), &switchboardv1.GetMessageRequest{
			Account: connectly, Key: &switchboardv1.GetMessageRequest_RequestId{RequestId: "answer-" + event},
		})
		if err != nil || got.GetMessage().GetMessageId() != answer || got.GetMessage().GetTo() != customer {
			t.Errorf("got message %v, %v", got, err)
		}
		var asked *switchboardv1.Event
		for event, err := range client.Subscribe(receivedTexts(switchboardv1.StartPosition_START_POSITION_EARLIEST)).Events(testContext(t)) {
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(textOf(event), "?") {
				asked = event
				break
			}
		}
		if asked.GetEventId() != event {
			t.Errorf("answered %s, want %s", event, asked.GetEventId())
		}
		ctx := testContext(t)
		for getSubscription(t, client, "answer").GetCursor() != asked.GetCursor() {
			select {
			case <-ctx.Done():
				t.Fatal("the question was not acknowledged")
			case <-time.After(20 * time.Millisecond): // Poll again.
			}
		}
		interrupt(command, lines)

		// After a restart, the program resumes after the answered question.
		if err := inject(testContext(t), client, "And on Mondays?"); err != nil {
			t.Fatal(err)
		}
		command, lines = start("answer")
		if next, _ := answered(lines); next == event {
			t.Error("the same question was answered again")
		}
		interrupt(command, lines)
	})
}

// Each Go snippet in the README is quoted from a file that the tests build or run.
func TestReadmeQuotesExamples(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	quoted := 0
	for _, found := range regexp.MustCompile("(?s)<!-- (\\S+) -->\n```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		source, err := os.ReadFile(filepath.Join("..", found[1]))
		if err != nil {
			t.Fatal(err)
		}
		quoted++
		if !strings.Contains(withoutIndent(string(source)), withoutIndent(found[2])) {
			t.Errorf("the README does not quote %s exactly", found[1])
		}
	}
	if blocks := strings.Count(string(readme), "```go\n"); blocks != quoted || blocks == 0 {
		t.Errorf("%d of %d Go snippets name their source file", quoted, blocks)
	}
	for _, name := range []string{"send_text", "send_template", "upload_media", "answer"} {
		if !strings.Contains(string(readme), "examples/"+name) {
			t.Errorf("the README does not mention %s", name)
		}
	}
}

// withoutIndent removes the indentation of each line, because the README shows code from within functions.
func withoutIndent(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimLeft(line, "\t ")
	}
	return strings.Join(lines, "\n")
}

// A new module can use this one with the two commands from the README.
func TestReadmeInstallationWorks(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile("(?s)```console\n(\\$ go mod edit .*?)```").FindSubmatch(readme)
	if commands == nil {
		t.Fatal("the README has no install commands")
	}
	module, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("../examples/send_text/main.go")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, content := range map[string]string{"main.go": string(example), "go.mod": "module example.com/shop\n\ngo 1.26.0\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := strings.ReplaceAll(string(commands[1]), "$ ", "") + "\ngo build -o shop ."
	script = strings.ReplaceAll(script, "/path/to/switchboard/clients/go", module)
	ctx, cancel := context.WithTimeout(t.Context(), buildTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, "bash", "-ec", script)
	command.Dir = folder
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
