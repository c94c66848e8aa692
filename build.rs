//! Compiles the protocol with protox, so that no protoc is needed on the machine.

use std::{env, error::Error, fs, path::PathBuf};

use prost_types::FileDescriptorSet;

const PROTO: &str = "proto/externalscaler.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTO}");
    let descriptors: FileDescriptorSet = protox::compile([PROTO], ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Reflection serves the same descriptors that the code was generated from.
    fs::write(
        out.join("externalscaler.bin"),
        prost::Message::encode_to_vec(&descriptors),
    )?;
    tonic_prost_build::configure()
        // A sorted map can be hashed and compared: it is the key under which a parsed trigger is kept.
        .btree_map(".externalscaler.ScaledObjectRef.scalerMetadata")
        .codec_path("crate::keda::codec::SmallBuffers")
        .compile_fds(descriptors)?;
    Ok(())
}
