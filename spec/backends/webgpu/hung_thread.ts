/**
 * The thread of a device that never answers after three submissions.
 */
import { runFaulty } from './faulty_device.ts'

await runFaulty('hung', 3)
