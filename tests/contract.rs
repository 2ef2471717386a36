//! Rules for all `.proto` files of the contract.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet, FileOptions,
};

/// The code generators of other languages read these options. All files of a package need the same values.
#[test]
fn files_of_a_package_have_the_same_options() {
    let mut packages: BTreeMap<String, (String, FileOptions)> = BTreeMap::new();
    for file in contract_files() {
        let options = file.options.clone().unwrap_or_default();
        for (option, value) in [
            ("csharp_namespace", &options.csharp_namespace),
            ("go_package", &options.go_package),
            ("java_package", &options.java_package),
            ("objc_class_prefix", &options.objc_class_prefix),
            ("php_namespace", &options.php_namespace),
            ("ruby_package", &options.ruby_package),
        ] {
            assert!(
                value.as_ref().is_some_and(|value| !value.is_empty()),
                "{}: {option} must be set",
                file.name()
            );
        }
        assert_eq!(options.java_multiple_files, Some(true), "{}: java_multiple_files", file.name());
        assert_eq!(options.java_package(), file.package(), "{}: java_package", file.name());
        let (first, expected) = packages
            .entry(file.package().to_owned())
            .or_insert_with(|| (file.name().to_owned(), options.clone()));
        assert_eq!(&options, expected, "{} and {first} have different options", file.name());
    }
    let names: Vec<&str> = packages.keys().map(String::as_str).collect();
    assert_eq!(names, ["switchboard.sandbox.v1", "switchboard.v1"]);
}

/// Generated Python code uses the names unchanged, and `message.from` is a syntax error there.
#[test]
fn no_name_is_a_python_keyword() {
    const KEYWORDS: [&str; 35] = [
        "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
        "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in",
        "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
    ];
    let mut names = Vec::new();
    for file in contract_files() {
        file.message_type.iter().for_each(|message| collect_message_names(message, &mut names));
        file.enum_type.iter().for_each(|values| collect_enum_names(values, &mut names));
        for service in &file.service {
            names.push(service.name().to_owned());
            names.extend(service.method.iter().map(|method| method.name().to_owned()));
        }
    }
    assert!(names.len() > 100, "found only {} names in the contract", names.len());
    let keywords: Vec<_> = names.iter().filter(|name| KEYWORDS.contains(&name.as_str())).collect();
    assert!(keywords.is_empty(), "names that are Python keywords: {keywords:?}");
}

fn collect_message_names(message: &DescriptorProto, names: &mut Vec<String>) {
    names.push(message.name().to_owned());
    names.extend(message.field.iter().map(|field| field.name().to_owned()));
    names.extend(message.oneof_decl.iter().map(|oneof| oneof.name().to_owned()));
    message.nested_type.iter().for_each(|nested| collect_message_names(nested, names));
    message.enum_type.iter().for_each(|values| collect_enum_names(values, names));
}

fn collect_enum_names(values: &EnumDescriptorProto, names: &mut Vec<String>) {
    names.push(values.name().to_owned());
    names.extend(values.value.iter().map(|value| value.name().to_owned()));
}

/// The files of the contract, without the files that they import from other packages.
fn contract_files() -> Vec<FileDescriptorProto> {
    let mut set = FileDescriptorSet::decode(switchboard::pb::FILE_DESCRIPTOR_SET)
        .expect("the build writes a valid descriptor set");
    set.file.retain(|file| file.package().starts_with("switchboard"));
    assert!(!set.file.is_empty(), "the descriptor set must contain the contract");
    set.file
}
