/**
 * What this machine gives one thread: how fast it reads memory, and how fast it multiplies and adds. The roofs under which
 * the kernels live.
 *
 * "read forward" is the sequential-read bandwidth the goals are stated in, and `sum` the kernel by which `shadowllm bench`
 * measures it (src/bench/read_speed.ts): it should be as fast. The others cross-check it: one stream may not be all
 * that the memory gives.
 */
import { write } from '../src/platform/platform.ts'
import { openArithmetic } from './arithmetic.ts'
import { GIGABYTES, kernelsOver, openStreams, STREAM_BYTES, STREAM_START } from './streams.ts'
import { figure, ratio, table, interleave, type Job } from './timing.ts'

const ROUNDS = 25

/** Thousand millions per second from operations per millisecond. */
const GIGA = 1e-6

export async function run(): Promise<void> {
  const { memory, forward, five, copy } = await openStreams()
  const {
    kernels: { sum },
    scratchSize: total,
  } = await kernelsOver(memory)
  const yardstick: Job = {
    name: 'sum, the yardstick',
    work: STREAM_BYTES,
    run: () => sum(total, STREAM_START, STREAM_BYTES / 4),
  }
  const size = `${STREAM_BYTES / 2 ** 20} MiB`
  await show(`Memory, ${size}`, 'GB/s', 'forward', [forward, yardstick, five, copy], GIGABYTES)
  await write('stdout', '\n')
  await show('Arithmetic in registers', 'G operations/s', 'strict', await openArithmetic(), GIGA)
}

/** Times jobs in turns, and sets them beside the first. */
async function show(title: string, rate: string, first: string, jobs: Job[], unit: number): Promise<void> {
  const rates = interleave(jobs, ROUNDS)
  const rows = rates.map((one) => [one.name, figure(one, unit), ratio(one, rates[0]).toFixed(2)])
  await write('stdout', `${title}: median (best) of ${ROUNDS} rounds\n`)
  await write('stdout', table([['', rate, `x ${first}`], ...rows]))
}
