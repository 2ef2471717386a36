/**
 * The contract, `switchboard.v1`: generated types, enums, schemas and service descriptors.
 *
 * @module
 */
export * from "./gen/switchboard/v1/account_service_pb.js";
export * from "./gen/switchboard/v1/contact_service_pb.js";
export * from "./gen/switchboard/v1/conversation_service_pb.js";
export * from "./gen/switchboard/v1/event_pb.js";
export * from "./gen/switchboard/v1/event_service_pb.js";
export * from "./gen/switchboard/v1/failure_pb.js";
export * from "./gen/switchboard/v1/flow_service_pb.js";
export * from "./gen/switchboard/v1/message_pb.js";
export * from "./gen/switchboard/v1/message_service_pb.js";
export * from "./gen/switchboard/v1/party_pb.js";
export * from "./gen/switchboard/v1/provider_pb.js";
export * from "./gen/switchboard/v1/reason_pb.js";
export * from "./gen/switchboard/v1/subscription_service_pb.js";
export * from "./gen/switchboard/v1/template_service_pb.js";
export * from "./gen/switchboard/v1/webhook_registration_service_pb.js";
