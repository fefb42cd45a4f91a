/**
 * The thread of a device without room for buffers of more than 2 MiB.
 */
import { runFaulty } from './faulty_device.ts'

await runFaulty('memory', 2 ** 21)
