//! The templates of a new ConnectBy account: Meta's template objects. They include fields that a client may not know
//! and must return unchanged.

use serde_json::{Value, json};

pub(super) fn templates() -> Vec<Value> {
    vec![
        json!({
            "id": "1200000000000001", "name": "order_update", "language": "en",
            "parameter_format": "POSITIONAL", "status": "APPROVED", "category": "UTILITY",
            "sub_category": "ORDER_STATUS", "message_send_ttl_seconds": 43200,
            "components": [
                {"type": "BODY", "text": "Hi {{1}}, your order {{2}} has shipped.",
                 "example": {"body_text": [["Asha", "A-77"]]}},
                {"type": "FOOTER", "text": "Thank you"},
            ],
        }),
        json!({
            "id": "1200000000000002", "name": "summer_sale", "language": "en_US",
            "parameter_format": "POSITIONAL", "status": "APPROVED", "category": "MARKETING",
            "quality_score": {"score": "GREEN", "date": 1_700_000_000},
            "components": [
                {"type": "HEADER", "format": "IMAGE",
                 "example": {"header_handle": ["https://files.example.org/summer.jpg"]}},
                {"type": "BODY", "text": "Hello {{1}}, the sale is on.",
                 "example": {"body_text": [["Asha"]]}},
                {"type": "BUTTONS", "buttons": [
                    {"type": "QUICK_REPLY", "text": "Stop"},
                    {"type": "URL", "text": "Shop", "url": "https://shop.example.org/{{1}}",
                     "example": ["https://shop.example.org/summer"]},
                ]},
            ],
        }),
        json!({
            "id": "1200000000000003", "name": "login_code", "language": "en",
            "parameter_format": "POSITIONAL", "status": "APPROVED", "category": "AUTHENTICATION",
            "components": [
                {"type": "BODY", "text": "*{{1}}* is your verification code.",
                 "add_security_recommendation": true, "example": {"body_text": [["123456"]]}},
                {"type": "FOOTER", "text": "This code expires in 10 minutes.", "code_expiration_minutes": 10},
                {"type": "BUTTONS", "buttons": [
                    {"type": "URL", "text": "Copy code",
                     "url": "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp{{1}}",
                     "example": ["https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp123456"]},
                ]},
            ],
        }),
        json!({
            "id": "1200000000000004", "name": "appointment", "language": "en",
            "parameter_format": "NAMED", "status": "APPROVED", "category": "UTILITY",
            "x_future_field": {"ratio": 0.25, "big": 9_007_199_254_740_993_u64, "list": [null, true]},
            "components": [
                {"type": "HEADER", "format": "TEXT", "text": "See you, {{first_name}}", "example":
                    {"header_text_named_params": [{"param_name": "first_name", "example": "Asha"}]}},
                {"type": "BODY", "text": "Your appointment is on {{day}} at {{time}}.", "example":
                    {"body_text_named_params": [{"param_name": "day", "example": "Monday"},
                                                {"param_name": "time", "example": "10:00"}]}},
            ],
        }),
        json!({
            "id": "1200000000000005", "name": "welcome_coupon", "language": "en",
            "parameter_format": "POSITIONAL", "status": "APPROVED", "category": "MARKETING",
            "components": [
                {"type": "BODY", "text": "Welcome! Here is a present."},
                {"type": "BUTTONS", "buttons": [{"type": "COPY_CODE", "text": "Copy offer code",
                                                 "example": ["WELCOME10"]}]},
            ],
        }),
        json!({
            "id": "1200000000000006", "name": "winter_sale", "language": "en",
            "parameter_format": "POSITIONAL", "status": "PAUSED", "category": "MARKETING",
            "quality_score": {"score": "RED", "date": 1_700_000_000},
            "components": [{"type": "BODY", "text": "It is cold."}],
        }),
        json!({
            "id": "1200000000000007", "name": "free_money", "language": "en",
            "parameter_format": "POSITIONAL", "status": "REJECTED", "rejected_reason": "SCAM",
            "category": "MARKETING", "previous_category": "UTILITY",
            "components": [{"type": "BODY", "text": "Send us your card."}],
        }),
        json!({
            "id": "1200000000000008", "name": "order_update", "language": "de",
            "parameter_format": "POSITIONAL", "status": "APPROVED", "category": "UTILITY",
            "components": [
                {"type": "BODY", "text": "Hallo {{1}}, Ihre Bestellung {{2}} ist unterwegs.",
                 "example": {"body_text": [["Asha", "A-77"]]}},
            ],
        }),
        json!({
            "id": "1200000000000009", "name": "book_visit", "language": "en",
            "parameter_format": "POSITIONAL", "status": "APPROVED", "category": "UTILITY",
            "components": [
                {"type": "BODY", "text": "Book your visit, {{1}}.", "example": {"body_text": [["Asha"]]}},
                {"type": "BUTTONS", "buttons": [
                    {"type": "QUICK_REPLY", "text": "Later"},
                    {"type": "FLOW", "text": "Book", "flow_id": 1_400_000_000_000_001_u64,
                     "flow_action": "NAVIGATE", "navigate_screen": "DATE"},
                ]},
            ],
        }),
        json!({
            "id": "1200000000000010", "name": "new_arrivals", "language": "en",
            "parameter_format": "POSITIONAL", "status": "APPROVED", "category": "MARKETING",
            "components": [
                {"type": "BODY", "text": "See what is new."},
                {"type": "CAROUSEL", "cards": [
                    {"components": [{"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "Shoes"}]},
                    {"components": [{"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "Hats"}]},
                ]},
            ],
        }),
        json!({
            "id": "1200000000000011", "name": "flash_sale", "language": "en",
            "parameter_format": "POSITIONAL", "status": "APPROVED", "category": "MARKETING",
            "components": [
                {"type": "LIMITED_TIME_OFFER",
                 "limited_time_offer": {"text": "Ends soon", "has_expiration": true}},
                {"type": "BODY", "text": "Use the code."},
                {"type": "BUTTONS", "buttons": [{"type": "COPY_CODE", "text": "Copy offer code",
                                                 "example": ["FLASH"]}]},
            ],
        }),
        json!({
            "id": "1200000000000012", "name": "shop_here", "language": "en",
            "parameter_format": "POSITIONAL", "status": "APPROVED", "category": "MARKETING",
            "components": [
                {"type": "BODY", "text": "Shop in this chat."},
                {"type": "BUTTONS", "buttons": [{"type": "CATALOG", "text": "View catalog"}]},
            ],
        }),
        json!({
            "id": "1200000000000013", "name": "our_picks", "language": "en",
            "parameter_format": "POSITIONAL", "status": "APPROVED", "category": "MARKETING",
            "components": [
                {"type": "BODY", "text": "Our picks for you."},
                {"type": "BUTTONS", "buttons": [{"type": "MPM", "text": "View items"}]},
            ],
        }),
    ]
}
