# Builds this package's tools in exact versions from the Go module proxy into .bin. Sourced by `generate` and `test`.
tools=(
  github.com/bufbuild/buf/cmd/buf@v1.75.0
  google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
  google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
  honnef.co/go/tools/cmd/staticcheck@v0.8.2
)

# tool NAME... builds the named tools that are missing or have another version.
tool() {
  local name path version
  mkdir -p .bin
  for name in "$@"; do
    for path in "${tools[@]}"; do
      version=${path##*@}
      if [[ ${path%@*} == */"$name" && $(cat ".bin/$name.version" 2>/dev/null) != "$version" ]]; then
        GOBIN=$PWD/.bin go install "$path" >&2 || return 1
        printf '%s\n' "$version" >".bin/$name.version"
      fi
    done
  done
}
