//! Converts templates of a provider's list.

use super::timestamp;
use crate::domain::template::{
    Category, Component, ComponentButton, Definition, ParameterFormat, Part, Status,
};
use crate::pb::v1;

pub(in crate::api) fn definition(definition: Definition) -> v1::Template {
    let Definition {
        id,
        name,
        language,
        status,
        provider_status,
        category,
        provider_category,
        parameter_format,
        components,
        rejection_reason,
        quality,
        create_time,
        update_time,
        raw_json,
    } = definition;
    v1::Template {
        template_id: id,
        name,
        language,
        status: status.map_or(v1::TemplateStatus::Unspecified, self::status).into(),
        provider_status,
        category: category.map_or(v1::TemplateCategory::Unspecified, self::category).into(),
        provider_category,
        parameter_format: parameter_format
            .map_or(v1::ParameterFormat::Unspecified, self::parameter_format)
            .into(),
        components: components.into_iter().map(component).collect(),
        provider_rejection_reason: rejection_reason,
        provider_quality: quality,
        create_time: create_time.map(timestamp),
        update_time: update_time.map(timestamp),
        raw_json,
    }
}

fn status(status: Status) -> v1::TemplateStatus {
    match status {
        Status::Approved => v1::TemplateStatus::Approved,
        Status::Pending => v1::TemplateStatus::Pending,
        Status::Rejected => v1::TemplateStatus::Rejected,
        Status::Paused => v1::TemplateStatus::Paused,
        Status::Disabled => v1::TemplateStatus::Disabled,
        Status::InAppeal => v1::TemplateStatus::InAppeal,
        Status::PendingDeletion => v1::TemplateStatus::PendingDeletion,
        Status::Deleted => v1::TemplateStatus::Deleted,
        Status::LimitExceeded => v1::TemplateStatus::LimitExceeded,
    }
}

fn category(category: Category) -> v1::TemplateCategory {
    match category {
        Category::Marketing => v1::TemplateCategory::Marketing,
        Category::Utility => v1::TemplateCategory::Utility,
        Category::Authentication => v1::TemplateCategory::Authentication,
    }
}

fn parameter_format(format: ParameterFormat) -> v1::ParameterFormat {
    match format {
        ParameterFormat::Positional => v1::ParameterFormat::Positional,
        ParameterFormat::Named => v1::ParameterFormat::Named,
    }
}

fn component(component: Component) -> v1::TemplateComponent {
    let Component { part, provider_type, format, text, buttons, raw_json } = component;
    v1::TemplateComponent {
        r#type: part.map_or(v1::TemplateComponentType::Unspecified, self::part).into(),
        provider_type,
        provider_format: format,
        text,
        buttons: buttons.into_iter().map(button).collect(),
        raw_json,
    }
}

fn part(part: Part) -> v1::TemplateComponentType {
    match part {
        Part::Header => v1::TemplateComponentType::Header,
        Part::Body => v1::TemplateComponentType::Body,
        Part::Footer => v1::TemplateComponentType::Footer,
        Part::Buttons => v1::TemplateComponentType::Buttons,
        Part::Carousel => v1::TemplateComponentType::Carousel,
    }
}

fn button(button: ComponentButton) -> v1::TemplateComponentButton {
    let ComponentButton { kind, text, url, phone_number } = button;
    v1::TemplateComponentButton { provider_type: kind, text, url, phone_number }
}
