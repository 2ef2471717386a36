package switchboard

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "switchboard.example/go/switchboard/sandbox/v1"
)

// goName is the Go name of a contract name, without a suffix for conflicts.
func goName(name protoreflect.Name) string {
	var made strings.Builder
	for word := range strings.SplitSeq(string(name), "_") {
		made.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return made.String()
}

func TestEveryContractNameIsPlainInGo(t *testing.T) {
	fields := 0
	var check func(messages protoreflect.MessageDescriptors)
	check = func(messages protoreflect.MessageDescriptors) {
		for m := range messages.Len() {
			message := messages.Get(m)
			if message.IsMapEntry() {
				continue
			}
			found, err := protoregistry.GlobalTypes.FindMessageByName(message.FullName())
			if err != nil {
				t.Fatal(err)
			}
			goType := reflect.TypeOf(found.New().Interface())
			if goType.Elem().Name() != goName(message.Name()) {
				t.Errorf("%s has Go type %s", message.FullName(), goType)
			}
			for f := range message.Fields().Len() {
				field := message.Fields().Get(f)
				fields++
				if _, ok := goType.MethodByName("Get" + goName(field.Name())); !ok {
					t.Errorf("%s has no Get%s", field.FullName(), goName(field.Name()))
				}
				if oneof := field.ContainingOneof(); oneof != nil && !oneof.IsSynthetic() {
					if _, ok := goType.Elem().FieldByName(goName(oneof.Name())); !ok {
						t.Errorf("%s has no field %s", oneof.FullName(), goName(oneof.Name()))
					}
				} else if _, ok := goType.Elem().FieldByName(goName(field.Name())); !ok {
					t.Errorf("%s has no field %s", field.FullName(), goName(field.Name()))
				}
			}
			check(message.Messages())
		}
	}
	for _, name := range []protoreflect.FullName{"switchboard.v1", "switchboard.sandbox.v1"} {
		protoregistry.GlobalFiles.RangeFilesByPackage(name, func(file protoreflect.FileDescriptor) bool {
			check(file.Messages())
			return true
		})
	}
	if fields < 250 {
		t.Errorf("found only %d fields", fields)
	}
}

func TestGeneratedNamesAreNotEscaped(t *testing.T) {
	files, err := filepath.Glob("*/v1/*.pb.go")
	if err != nil {
		t.Fatal(err)
	}
	own, err := filepath.Glob("v1/*.pb.go")
	if err != nil {
		t.Fatal(err)
	}
	names := 0
	for _, file := range append(files, own...) {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			if name, ok := node.(*ast.Ident); ok && name.IsExported() {
				names++
				if strings.HasSuffix(name.Name, "_") {
					t.Errorf("%s has the name %s", file, name.Name)
				}
			}
			return true
		})
	}
	if names < 1000 {
		t.Errorf("found only %d names", names)
	}
}
