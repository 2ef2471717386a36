// Compiled tests run in clients/typescript/.scratch/out/tests/.
import { fileURLToPath } from "node:url";

/** The scratch project with the installed package. */
export const SCRATCH = fileURLToPath(new URL("../../..", import.meta.url));
/** clients/typescript. */
export const CLIENT = fileURLToPath(new URL("../../../..", import.meta.url));
/** The root of the checkout. */
export const REPOSITORY = fileURLToPath(new URL("../../../../../..", import.meta.url));
/** The installed package. */
export const PACKAGE = `${SCRATCH}node_modules/@switchboard/client/`;
