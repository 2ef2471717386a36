package e2e

import (
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

	for _, test := range []struct{ account, name, arg string }{
		{connectly, "send_text", ""}, {connectby, "send_template", ""}, {connectby, "upload_media", image},
	} {
		t.Run(test.name, func(t *testing.T) {
			var args []string
			if test.arg != "" {
				args = append(args, test.arg)
			}
			command := exec.CommandContext(testContext(t), filepath.Join(folder, test.name), args...)
			command.Env = append(os.Environ(), "SWITCHBOARD_ADDRESS="+server.address)
			out, err := command.CombinedOutput()
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
