// The standard services of a gRPC server, with the parts of their protos that the tests need.
import { createFileRegistry, type DescMethod, fromJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import type { Transport } from "@connectrpc/connect";

const registry = createFileRegistry(
  fromJson(FileDescriptorSetSchema, {
    file: [
      {
        name: "health.proto",
        package: "grpc.health.v1",
        syntax: "proto3",
        messageType: [
          { name: "HealthCheckRequest", field: [text("service", 1)] },
          {
            name: "HealthCheckResponse",
            field: [
              {
                name: "status",
                jsonName: "status",
                number: 1,
                label: "LABEL_OPTIONAL",
                type: "TYPE_ENUM",
                typeName: ".grpc.health.v1.HealthCheckResponse.ServingStatus",
              },
            ],
            enumType: [
              {
                name: "ServingStatus",
                value: [
                  { name: "UNKNOWN", number: 0 },
                  { name: "SERVING", number: 1 },
                  { name: "NOT_SERVING", number: 2 },
                ],
              },
            ],
          },
        ],
        service: [
          {
            name: "Health",
            method: [
              {
                name: "Check",
                inputType: ".grpc.health.v1.HealthCheckRequest",
                outputType: ".grpc.health.v1.HealthCheckResponse",
              },
            ],
          },
        ],
      },
      {
        name: "reflection.proto",
        package: "grpc.reflection.v1",
        syntax: "proto3",
        messageType: [
          { name: "ServerReflectionRequest", field: [text("list_services", 7)] },
          {
            name: "ServerReflectionResponse",
            field: [message("list_services_response", 6, "ListServiceResponse", "LABEL_OPTIONAL")],
          },
          { name: "ListServiceResponse", field: [message("service", 1, "ServiceResponse", "LABEL_REPEATED")] },
          { name: "ServiceResponse", field: [text("name", 1)] },
        ],
        service: [
          {
            name: "ServerReflection",
            method: [
              {
                name: "ServerReflectionInfo",
                inputType: ".grpc.reflection.v1.ServerReflectionRequest",
                outputType: ".grpc.reflection.v1.ServerReflectionResponse",
                clientStreaming: true,
                serverStreaming: true,
              },
            ],
          },
        ],
      },
    ],
  }),
);

function text(name: string, number: number) {
  return { name, number, label: "LABEL_OPTIONAL", type: "TYPE_STRING" };
}

function message(name: string, number: number, type: string, label: string) {
  return { name, number, label, type: "TYPE_MESSAGE", typeName: `.grpc.reflection.v1.${type}` };
}

function method<K extends DescMethod["methodKind"]>(service: string, kind: K): DescMethod & { methodKind: K } {
  const found = registry.getService(service)?.methods[0];
  if (found?.methodKind !== kind) {
    throw new Error(`${service} has an unexpected method kind`);
  }
  return found as DescMethod & { methodKind: K };
}

/** The status of a service according to `grpc.health.v1`. */
export async function health(transport: Transport, service: string): Promise<string | undefined> {
  const check = method("grpc.health.v1.Health", "unary");
  const answer = await transport.unary(check, undefined, 10_000, undefined, { service });
  const { status } = answer.message as unknown as { status: number };
  return registry.getEnum("grpc.health.v1.HealthCheckResponse.ServingStatus")?.value[status]?.name;
}

/** The names of the services that server reflection lists. */
export async function reflection(transport: Transport): Promise<string[]> {
  const info = method("grpc.reflection.v1.ServerReflection", "bidi_streaming");
  async function* requests() {
    yield { listServices: "*" };
  }
  const answers = await transport.stream(info, undefined, 10_000, undefined, requests());
  const names: string[] = [];
  for await (const answer of answers.message) {
    const { listServicesResponse } = answer as unknown as { listServicesResponse: { service: { name: string }[] } };
    names.push(...listServicesResponse.service.map(({ name }) => name));
  }
  return names;
}
