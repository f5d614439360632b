/** Runs before each test file. */
import { setDefaultAutoSelectFamilyAttemptTimeout } from "node:net"

// A process that stands still for a quarter of a second gives up an address that answers, if its host has two.
setDefaultAutoSelectFamilyAttemptTimeout(60_000)
