# Shortcuts for the steps of `.ci/run`, which also works without `just`. `.ci/run hygiene` checks that both have the same
# steps.

# Runs the whole gate.
gate:
    bash .ci/run

# Scripts, whitespace, leftovers, the list of steps and the vocabulary.
hygiene:
    bash .ci/run hygiene

# Formatting.
fmt:
    bash .ci/run fmt

# The contract: lint, format and compatibility.
proto:
    bash .ci/run proto

# docs/api.md is up to date with the contract.
api:
    bash .ci/run api

# Clippy, with warnings denied.
clippy:
    bash .ci/run clippy

# The documentation, private items included, with warnings denied.
doc:
    bash .ci/run doc

# Bans, licences and sources of dependencies.
deny:
    bash .ci/run deny

# Unused dependencies.
unused-deps:
    bash .ci/run unused-deps

# The benchmarks build and run.
bench:
    bash .ci/run bench

# The commands of the README and of docs/grpcurl.md, against the sandbox.
readme:
    bash .ci/run readme

# The client libraries: generated code and tests.
clients:
    bash .ci/run clients

# All tests.
test:
    bash .ci/run test

# Known vulnerabilities of dependencies. Needs the network and is not part of the gate.
advisories:
    bash .ci/run advisories

# Makes the current contract binding for later changes.
land-proto:
    bash .ci/land-proto
