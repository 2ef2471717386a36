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

// buildTimeout is the time that building a program may take, also where nothing was built before.
const buildTimeout = 3 * time.Minute

// buildExamples builds all of them, and tells where they are.
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
				t.Fatalf("it printed %q", out)
			}
			got, err := client.Messages.GetMessage(testContext(t), &switchboardv1.GetMessageRequest{
				Account: test.account, Key: &switchboardv1.GetMessageRequest_MessageId{MessageId: id},
			})
			if err != nil || got.GetMessage().GetTo() != customer {
				t.Errorf("the server knows %v, %v", got, err)
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
		// answered is the event, and the message that answers it, of the next line.
		answered := func(lines *bufio.Scanner) (event, message string) {
			lines.Scan()
			words := strings.Fields(lines.Text())
			if len(words) != 4 || words[0] != "answered" {
				t.Fatalf("it printed %q", lines.Text())
			}
			return words[1], words[3]
		}
		interrupt := func(command *exec.Cmd, lines *bufio.Scanner) {
			if err := command.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			for lines.Scan() {
				t.Errorf("it printed %q as well", lines.Text())
			}
			if err := command.Wait(); err != nil {
				t.Error(err)
			}
		}
		// The statement comes first, so that its answer would too.
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
			t.Errorf("the server knows %v, %v", got, err)
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
		if asked.GetId() != event {
			t.Errorf("it answered %s, and not %s", event, asked.GetId())
		}
		ctx := testContext(t)
		for getSubscription(t, client, "answer").GetCursor() != asked.GetCursor() {
			select {
			case <-ctx.Done():
				t.Fatal("it does not acknowledge the question")
			case <-time.After(20 * time.Millisecond): // It is asked again.
			}
		}
		interrupt(command, lines)

		// It goes on behind the question that it has answered.
		if err := inject(testContext(t), client, "And on Mondays?"); err != nil {
			t.Fatal(err)
		}
		command, lines = start("answer")
		if next, _ := answered(lines); next == event {
			t.Error("it answered the same question again")
		}
		interrupt(command, lines)
	})
}

// The README shows pieces of programs that run here, word for word.
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
			t.Errorf("the README does not show %s as it is", found[1])
		}
	}
	if blocks := strings.Count(string(readme), "```go\n"); blocks != quoted || blocks == 0 {
		t.Errorf("%d of %d pieces of Go name the file that they are from", quoted, blocks)
	}
	for _, name := range []string{"send_text", "send_template", "upload_media", "answer"} {
		if !strings.Contains(string(readme), "examples/"+name) {
			t.Errorf("the README does not name %s", name)
		}
	}
}

// withoutIndent drops the blanks at the beginning of each line: what stands in a function stands at the margin in the README.
func withoutIndent(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimLeft(line, "\t ")
	}
	return strings.Join(lines, "\n")
}

// A program elsewhere uses this module by the two commands that the README gives.
func TestReadmeInstallationWorks(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile("(?s)```console\n(\\$ go mod edit .*?)```").FindSubmatch(readme)
	if commands == nil {
		t.Fatal("the README shows no installation")
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
