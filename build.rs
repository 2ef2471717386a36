//! Generates Rust code from `proto/`, without `protoc`.
//!
//! There are two passes over one descriptor set. The first generates messages and clients. The second generates the
//! server traits for the same messages, but replaces `SubscribeResponse` by `api::Encoded` and `ListEventsResponse` by
//! `api::EncodedList`. The events of these responses are already encoded, so each event is encoded once for all
//! subscribers.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    // tonic-prost-build stores the option `emit_rerun_if_changed`, but `compile_fds` prints nothing.
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");

    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut files = Vec::new();
    proto_files(Path::new("proto"), &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true).open_files(&files)?;
    fs::write(out.join("descriptors.binpb"), compiler.encode_file_descriptor_set())?;
    let descriptors = compiler.file_descriptor_set();

    tonic_prost_build::configure().build_server(false).bytes(".").compile_fds(descriptors.clone())?;

    let served = out.join("served");
    fs::create_dir_all(&served)?;
    tonic_prost_build::configure()
        .build_client(false)
        .out_dir(served)
        .extern_path(".switchboard.v1", "crate::pb::v1")
        .extern_path(".switchboard.v1.SubscribeResponse", "crate::api::Encoded")
        .extern_path(".switchboard.v1.ListEventsResponse", "crate::api::EncodedList")
        .extern_path(".switchboard.sandbox.v1", "crate::pb::sandbox::v1")
        .compile_fds(descriptors)?;
    Ok(())
}

fn proto_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            proto_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path.strip_prefix("proto")?.to_owned());
        }
    }
    Ok(())
}
