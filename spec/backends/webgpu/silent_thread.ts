/**
 * The thread of a device that is never found.
 */
import { runFaulty } from './faulty_device.ts'

await runFaulty('silent', 0)
