// The tests run where they were compiled to: clients/typescript/.scratch/out/tests/.
import { fileURLToPath } from "node:url";

/** The scratch project that the packed package is installed into. */
export const SCRATCH = fileURLToPath(new URL("../../..", import.meta.url));
/** clients/typescript. */
export const CLIENT = fileURLToPath(new URL("../../../..", import.meta.url));
/** The checkout. */
export const REPOSITORY = fileURLToPath(new URL("../../../../../..", import.meta.url));
/** The package as it was installed. */
export const PACKAGE = `${SCRATCH}node_modules/@switchboard/client/`;
