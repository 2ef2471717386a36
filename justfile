# The steps of the gate by name. Each is one of `.ci/run`, which needs no `just`.

# All of it, as it runs before a change goes in.
gate:
    bash .ci/run

# Scripts can be read, and the project speaks of itself alone.
alone:
    bash .ci/run alone

# Formatting.
fmt:
    bash .ci/run fmt

# The contract: lint, format, nothing broken.
proto:
    bash .ci/run proto

# Clippy, with warnings denied.
clippy:
    bash .ci/run clippy

# The documentation, private items included, with warnings denied.
doc:
    bash .ci/run doc

# Bans, licences and sources of dependencies.
deny:
    bash .ci/run deny

# Known vulnerabilities of dependencies. Needs the network; not part of the gate.
advisories:
    bash .ci/run advisories

# Dependencies that nothing names.
unused:
    bash .ci/run unused

# That the benchmarks build and run.
bench:
    bash .ci/run bench

# The README's commands, in the sandbox.
readme:
    bash .ci/run readme

# All tests.
test:
    bash .ci/run test

# Makes the present contract binding for all later ones.
land-proto:
    bash .ci/land-proto
