/**
 * How fast this machine reads memory from one thread: the roofs under which the streaming kernels live.
 *
 * "read forward" is the sequential-read bandwidth the goals are stated in. The other two cross-check it: one stream may
 * not be all that the memory gives.
 */
import { write } from '../src/platform/platform.ts'
import { GIGABYTES, STREAM_BYTES, openStreams } from './streams.ts'
import { figure, ratio, table, takeTurns } from './timing.ts'

export async function run(): Promise<void> {
  const { forward, five, copy } = await openStreams()
  const rates = takeTurns([forward, five, copy], 15)
  const rows = rates.map((one) => [one.name, figure(one, GIGABYTES), ratio(one, rates[0]).toFixed(2)])
  await write('stdout', `${STREAM_BYTES / 2 ** 20} MiB, GB/s: median (best) of 15 rounds\n`)
  await write('stdout', table([['', 'GB/s', 'x forward'], ...rows]))
}
