//! Server reflection, v1 and v1alpha, with the comments of the contract and the descriptors of error details.

use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic_reflection::server::{Builder, v1, v1alpha};

use crate::pb;

/// The services that reflection lists. The messages of every registered file can be looked up too.
const LISTED: [&str; 10] = [
    "switchboard.v1.AccountService",
    "switchboard.v1.ContactService",
    "switchboard.v1.ConversationService",
    "switchboard.v1.EventService",
    "switchboard.v1.FlowService",
    "switchboard.v1.MessageService",
    "switchboard.v1.SubscriptionService",
    "switchboard.v1.TemplateService",
    "switchboard.v1.WebhookRegistrationService",
    "grpc.health.v1.Health",
];

/// Listed too if it is served.
const SANDBOX: &str = "switchboard.sandbox.v1.SandboxService";

pub(in crate::api) fn services(
    with_sandbox: bool,
) -> (
    v1::ServerReflectionServer<impl v1::ServerReflection>,
    v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>,
) {
    let well_formed = "descriptors of the build are valid";
    let builder = || {
        let builder = builder();
        if with_sandbox { builder.with_service_name(SANDBOX) } else { builder }
    };
    (
        builder().with_service_name("grpc.reflection.v1.ServerReflection").build_v1().expect(well_formed),
        builder()
            .with_service_name("grpc.reflection.v1alpha.ServerReflection")
            .build_v1alpha()
            .expect(well_formed),
    )
}

fn builder() -> Builder<'static> {
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_file_descriptor_set(error_details());
    LISTED.into_iter().fold(builder, Builder::with_service_name)
}

/// The files of package `google.rpc`, with the folder in their names.
///
/// The crate `tonic_types` omits the folder, but all imports include it, and tools look a file up by its name.
fn error_details() -> FileDescriptorSet {
    const FOLDER: &str = "google/rpc/";
    let mut set = FileDescriptorSet::decode(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .expect("descriptors of the build are valid");
    let renamed: Vec<String> = set
        .file
        .iter()
        .filter(|file| file.package() == "google.rpc" && !file.name().starts_with(FOLDER))
        .map(|file| file.name().to_owned())
        .collect();
    for file in &mut set.file {
        if renamed.iter().any(|name| name == file.name()) {
            file.name = Some(format!("{FOLDER}{}", file.name()));
        }
        for import in &mut file.dependency {
            if renamed.contains(import) {
                *import = format!("{FOLDER}{import}");
            }
        }
    }
    set
}
