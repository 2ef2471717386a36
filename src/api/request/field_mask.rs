//! Update masks: which fields of a resource an update changes.

use std::collections::BTreeSet;

use prost_types::FieldMask;

use crate::api::request::violations::{ViolationReason, Violations};

/// The path that stands for every mutable field.
const ALL: &str = "*";

/// The fields of a resource that an update mask may name. Paths are relative to the resource.
pub(in crate::api) struct Fields {
    /// The request's field that holds the resource.
    pub resource: &'static str,
    /// The paths that an update can change. A message and its fields may both be listed.
    pub mutable: &'static [&'static str],
    /// The paths that no update can change.
    pub immutable: &'static [&'static str],
    /// The paths that a mask may name without effect: output only fields, and the resource's id.
    pub ignored: &'static [&'static str],
}

impl Fields {
    /// The paths that an update changes. `None` if the mask is invalid, which is then a violation.
    ///
    /// Without a mask, the update changes the fields that are set in the resource: `set`. `*` names the mutable paths
    /// that are not part of another mutable path.
    pub(in crate::api) fn changed(
        &self,
        mask: Option<FieldMask>,
        set: impl IntoIterator<Item = &'static str>,
        violations: &mut Violations,
    ) -> Option<BTreeSet<&'static str>> {
        let Some(mask) = mask else {
            let changed: BTreeSet<_> = set.into_iter().collect();
            return self.required(changed, violations);
        };
        let named: BTreeSet<String> = mask.paths.into_iter().collect();
        let mut changed = BTreeSet::new();
        let (mut unknown, mut unsupported) = (false, false);
        for path in &named {
            if path == ALL {
                changed.extend(self.mutable.iter().filter(|path| !self.is_part(path)));
            } else if let Some(path) = find(self.mutable, path) {
                changed.insert(path);
            } else if let Some(path) = find(self.immutable, path) {
                unsupported = true;
                let field = format!("{}.{path}", self.resource);
                let problem = "must not be named by `update_mask`: the provider cannot change it";
                violations.add(field, ViolationReason::Unsupported, problem);
            } else if find(self.ignored, path).is_none() {
                unknown = true;
            }
        }
        if unknown {
            let problem = format!("must name only fields of `{}`: {}, or `*`", self.resource, self.allowed());
            violations.add("update_mask", ViolationReason::UnknownValue, problem);
        }
        if unknown || unsupported { None } else { self.required(changed, violations) }
    }

    fn required(
        &self,
        changed: BTreeSet<&'static str>,
        violations: &mut Violations,
    ) -> Option<BTreeSet<&'static str>> {
        if changed.is_empty() {
            let problem = format!(
                "must name a field that can be changed ({}), or be absent if such a field of `{}` is set",
                self.allowed(),
                self.resource,
            );
            violations.add("update_mask", ViolationReason::Required, problem);
            return None;
        }
        Some(changed)
    }

    /// Whether the path is a field of another mutable path.
    fn is_part(&self, path: &str) -> bool {
        path.rsplit_once('.').is_some_and(|(parent, _)| self.mutable.contains(&parent))
    }

    fn allowed(&self) -> String {
        self.mutable.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ")
    }
}

fn find(paths: &'static [&'static str], path: &str) -> Option<&'static str> {
    paths.iter().copied().find(|&known| known == path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIELDS: Fields = Fields {
        resource: "thing",
        mutable: &["name", "box", "box.lid", "box.tags"],
        immutable: &["kind", "place"],
        ignored: &["thing_id", "raw_json"],
    };

    /// The changed paths, and the violations as pairs of field and reason.
    fn changed(
        mask: Option<&[&str]>,
        set: &[&'static str],
    ) -> (Option<Vec<&'static str>>, Vec<(String, String)>) {
        let mask = mask.map(|paths| FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() });
        let mut violations = Violations::default();
        let changed = FIELDS.changed(mask, set.iter().copied(), &mut violations);
        let violations = violations.into_field_violations();
        let found = violations.into_iter().map(|violation| (violation.field, violation.reason)).collect();
        (changed.map(|paths| paths.into_iter().collect()), found)
    }

    fn violation(field: &str, reason: &str) -> (String, String) {
        (field.to_owned(), reason.to_owned())
    }

    #[test]
    fn absent_mask_changes_the_set_fields() {
        assert_eq!(changed(None, &["name", "box.lid"]), (Some(vec!["box.lid", "name"]), Vec::new()));
        assert_eq!(changed(None, &[]), (None, vec![violation("update_mask", "REQUIRED")]));
    }

    #[test]
    fn mask_decides_over_the_set_fields() {
        assert_eq!(changed(Some(&["box.tags"]), &["name"]), (Some(vec!["box.tags"]), Vec::new()));
    }

    #[test]
    fn star_names_every_mutable_field() {
        assert_eq!(changed(Some(&["*"]), &[]), (Some(vec!["box", "name"]), Vec::new()));
        assert_eq!(changed(Some(&["*", "box.lid"]), &[]), (Some(vec!["box", "box.lid", "name"]), Vec::new()));
    }

    #[test]
    fn output_only_paths_have_no_effect() {
        assert_eq!(changed(Some(&["raw_json", "name", "thing_id"]), &[]), (Some(vec!["name"]), Vec::new()));
        for nothing in [&["raw_json"][..], &["thing_id", "raw_json"], &[]] {
            let required = vec![violation("update_mask", "REQUIRED")];
            assert_eq!(changed(Some(nothing), &["name"]), (None, required), "{nothing:?}");
        }
    }

    #[test]
    fn immutable_path_is_unsupported() {
        let both = vec![violation("thing.kind", "UNSUPPORTED"), violation("thing.place", "UNSUPPORTED")];
        assert_eq!(changed(Some(&["place", "name", "kind"]), &[]), (None, both));
        assert_eq!(changed(Some(&["kind"]), &[]), (None, vec![violation("thing.kind", "UNSUPPORTED")]));
    }

    #[test]
    fn unknown_path_is_rejected() {
        for unknown in ["", "Name", "thing.name", "box.", "box.*", "name.first", "**", " name"] {
            let once = vec![violation("update_mask", "UNKNOWN_VALUE")];
            assert_eq!(changed(Some(&[unknown, "name", "also_unknown"]), &[]), (None, once), "{unknown:?}");
        }
    }

    proptest! {
        #[test]
        fn order_and_duplicates_do_not_matter(
            (paths, shuffled) in prop::collection::vec(
                prop::sample::select(vec!["*", "name", "box", "box.lid", "kind", "place", "raw_json", "x", "y"]),
                0..8,
            )
            .prop_flat_map(|paths| {
                let doubled = [paths.clone(), paths.clone()].concat();
                (Just(paths), Just(doubled).prop_shuffle())
            })
        ) {
            prop_assert_eq!(changed(Some(&paths), &[]), changed(Some(&shuffled), &[]));
        }
    }
}
