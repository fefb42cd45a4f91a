/**
 * The thread of a device that is lost after three submissions.
 */
import { runFaulty } from './faulty_device.ts'

await runFaulty('lost', 3)
