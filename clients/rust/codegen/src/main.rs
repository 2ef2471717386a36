//! Generates the messages and the gRPC clients of `switchboard-client` from `/proto` into `clients/rust/src/generated/`.
//!
//! The crate commits this output, so a program that depends on the crate runs no build script and needs no `protoc`.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let codegen = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto = codegen.join("../../../proto");
    let output = codegen.join("../src/generated");

    let mut files = Vec::new();
    proto_files(&proto, &proto, &mut files)?;
    // The order of the files decides the order of the output.
    files.sort();
    let mut compiler = protox::Compiler::new([&proto])?;
    compiler.include_source_info(true).include_imports(true).open_files(&files)?;

    // A package that no longer exists must not leave its file.
    if output.exists() {
        fs::remove_dir_all(&output)?;
    }
    fs::create_dir_all(&output)?;
    tonic_prost_build::configure()
        .build_server(false)
        .bytes(".")
        .out_dir(output)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// Collects the `.proto` files under `folder`, as paths relative to `root`.
fn proto_files(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            proto_files(root, &path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path.strip_prefix(root)?.to_owned());
        }
    }
    Ok(())
}
