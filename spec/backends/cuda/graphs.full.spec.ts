/**
 * Launches that come again are replayed as CUDA graphs, and nobody can tell: the bits are the reference's, whatever the
 * order a device takes where an order is not asked for. What is planted here are bugs of the host side.
 *
 * Tests src/backends/cuda/footprint.ts.
 */
import { afterEach, describe, expect, test, vi } from 'vitest'
import { whyNoEmulator } from '../../../scripts/cuda/emulator.ts'
import { CudaBackend } from '../../../src/backends/cuda/cuda_backend.ts'
import type { CallName } from '../../../src/backends/cuda/driver.ts'
import { Order } from '../../../src/backends/cuda/footprint.ts'
import { FEWEST_NODES, MAX_KNOWN, MAX_NODES } from '../../../src/backends/cuda/graphs.ts'
import { Stream } from '../../../src/backends/cuda/stream.ts'
import { createBackend } from '../../../src/backends/select.ts'
import { overCudaBackends } from '../../harness/backends.ts'
import { meddle, withOwnEmulator, type OwnEmulator } from './emulator.ts'
import { graphsAreInvisible, inTurnIsAlone } from './graph_laws.ts'

overCudaBackends((backend) => {
  test('results of graphs have the bits of the reference', () =>
    graphsAreInvisible((work) => work(backend as CudaBackend)))

  test.each([1, 2, 3, 4, 5, 6, 7, 8])('%i interleaved texts equal each text alone', async (texts) => {
    const before = (backend as CudaBackend).graphCounts?.launched ?? 0
    // What owes no bits of the reference owes its own.
    const alone = await createBackend(backend.name.includes('fast') ? backend.name : 'reference', {
      graphs: false,
    })
    await inTurnIsAlone(backend, texts, alone)
    alone.dispose()
    expect((backend as CudaBackend).graphCounts?.launched).toBeGreaterThan(before)
  })
})

afterEach(() => void vi.restoreAllMocks())

/** Bugs in the calls that are made of a driver. */
const callMutants: {
  bug: string
  call: CallName
  change: Parameters<typeof meddle>[2]
  says: RegExp
}[] = [
  {
    bug: 'a parameter that stays what it was in the graph before',
    call: 'cuGraphExecKernelNodeSetParams_v2',
    change: () => {},
    says: /read\[\d+\]: expected/,
  },
  {
    bug: 'nodes that wait for nobody',
    call: 'cuGraphAddKernelNode_v2',
    change: ([node, graph, before, , parameters], proceed) => proceed(node, graph, before, 0, parameters),
    says: /read\[\d+\]: expected/,
  },
  {
    bug: 'nodes that wait for all but one',
    call: 'cuGraphAddKernelNode_v2',
    change: ([node, graph, before, count, parameters], proceed) =>
      proceed(node, graph, before, Math.max(0, (count as number) - 1), parameters),
    says: /read\[\d+\]: expected/,
  },
  {
    bug: 'a graph that is not launched',
    call: 'cuGraphLaunch',
    change: () => {},
    says: /read\[\d+\]: expected/,
  },
  {
    bug: 'reading that does not wait',
    call: 'cuStreamSynchronize',
    change: () => {},
    says: /read\[\d+\]: expected|expected no work that nobody waited for/,
  },
  {
    bug: 'launches on the default stream',
    call: 'cuLaunchKernel',
    change: (args, proceed) => proceed(...args.with(8, 0)),
    says: /cuLaunchKernel: .*CUDA_ERROR_INVALID_HANDLE \(expected a stream/,
  },
]

/** Bugs in who calls. */
const hostMutants: { bug: string; plant: () => void }[] = [
  {
    bug: 'another order taken for the same',
    plant: () => vi.spyOn(Order.prototype, 'adopt').mockReturnValue(true),
  },
  {
    bug: 'a write that does not wait for launches before it',
    plant() {
      const { copyIn } = Stream.prototype
      vi.spyOn(Stream.prototype, 'copyIn').mockImplementation(function (this: Stream, place, values) {
        copyIn.call(this, place, values, true)
      })
    },
  },
  {
    bug: 'memory set to zero before launches that come before',
    plant() {
      const { clear } = Stream.prototype
      vi.spyOn(Stream.prototype, 'clear').mockImplementation(function (this: Stream, place, bytes) {
        clear.call(this, place, bytes, true)
      })
    },
  },
]

/** What a law says that does not hold. */
async function whyBroken(law: Promise<void>): Promise<string> {
  const error = (await law.then(
    () => null,
    (reason: unknown) => reason,
  )) as Error | null
  return ((error?.cause ?? error) as Error | null)?.message ?? 'the law holds'
}

const missing = await whyNoEmulator()

describe.skipIf(missing !== null)(
  `emulated${missing === null ? '' : `, which needs g++: ${missing}`}`,
  () => {
    /** A backend for each program, so that one that failed is not met again. */
    const lendFrom =
      (
        emulator: OwnEmulator,
        prepare: (driver: Awaited<ReturnType<OwnEmulator['driver']>>) => void = () => {},
      ) =>
      async (work: (backend: CudaBackend) => void): Promise<void> => {
        const driver = await emulator.driver()
        prepare(driver)
        const backend = await CudaBackend.on(driver, 'cuda-emulated')
        try {
          work(backend)
        } finally {
          backend.dispose()
        }
      }

    test.each(callMutants)('a mutant with $bug: killed', async ({ call, change, says }) => {
      await withOwnEmulator(async (emulator) => {
        const broken = graphsAreInvisible(lendFrom(emulator, (driver) => void meddle(driver, call, change)))
        expect(await whyBroken(broken)).toMatch(says)
      })
    })

    test.each(hostMutants)('a mutant with $bug: killed', async ({ plant }) => {
      await withOwnEmulator(async (emulator) => {
        plant()
        expect(await whyBroken(graphsAreInvisible(lendFrom(emulator)))).toMatch(/read\[\d+\]: expected/)
      })
    })

    test('interleaved texts equal each text alone: a mutant that keeps an old parameter is killed', async () => {
      await withOwnEmulator(async (emulator) => {
        const driver = meddle(await emulator.driver(), 'cuGraphExecKernelNodeSetParams_v2', () => {})
        const backend = await CudaBackend.on(driver, 'cuda-emulated')
        await expect(inTurnIsAlone(backend, 1)).rejects.toThrow(/text 0, token \d\[\d+\]: expected/)
        backend.dispose()
      })
    })

    /** So many launches in a row, and a read. */
    function launchAndRead(backend: CudaBackend, kinds: readonly ('relu' | 'exp')[]): void {
      const x = backend.upload(Float32Array.of(0.5))
      for (const kind of kinds) backend.ops[kind](x, x)
      backend.readF32(x)
      backend.free(x)
    }

    const run = (length: number): 'relu'[] => Array.from({ length }, () => 'relu')

    test('a new row of launches runs one by one, a repeated one as a graph, and only changed nodes are updated', async () => {
      const backend = (await createBackend('cuda-emulated')) as CudaBackend
      launchAndRead(backend, run(FEWEST_NODES))
      expect(backend.graphCounts).toEqual({ built: 0, launched: 0, updated: 0 })
      const x = backend.upload(Float32Array.of(0.5))
      for (const [n, launched] of [1, 2, 3].entries()) {
        for (let i = 0; i < FEWEST_NODES; i++) backend.ops.relu(x, x)
        backend.readF32(x)
        expect(backend.graphCounts, `${n}`).toEqual({ built: 1, launched, updated: 0 })
      }
      const none = backend.view(x, [0])
      for (let i = 0; i < FEWEST_NODES; i++) {
        const numbers = i === 1 ? none : x
        backend.ops.relu(numbers, numbers)
      }
      backend.readF32(x)
      expect(backend.graphCounts, 'three launches: a call of no numbers is none').toMatchObject({
        launched: 3,
      })
      backend.dispose()
    })

    test('a long row of launches is cut and started before it is complete', async () => {
      const backend = (await createBackend('cuda-emulated')) as CudaBackend
      for (let round = 0; round < 2; round++) launchAndRead(backend, run(2 * MAX_NODES + FEWEST_NODES - 1))
      // Both whole parts are the same row; the rest is too short for one.
      expect(backend.graphCounts).toMatchObject({ built: 1, launched: 3 })
      backend.dispose()
    })

    test('without graphs there are none', async () => {
      const backend = (await createBackend('cuda-emulated', { graphs: false })) as CudaBackend
      for (let round = 0; round < 3; round++) launchAndRead(backend, run(9))
      expect(backend.graphCounts).toBeNull()
      await inTurnIsAlone(backend, 2)
      backend.dispose()
    })

    test('only the latest rows of launches are kept', async () => {
      await withOwnEmulator(async (emulator) => {
        const backend = await CudaBackend.on(await emulator.driver(), 'cuda-emulated')
        const kindsOf = (n: number): ('relu' | 'exp')[] =>
          Array.from({ length: 8 }, (_, bit) => ((n >> bit) & 1 ? 'relu' : 'exp'))
        for (let n = 0; n < MAX_KNOWN + 9; n++)
          for (let twice = 0; twice < 2; twice++) launchAndRead(backend, kindsOf(n))
        const { graphs, executables } = emulator.held()
        expect([graphs, executables]).toEqual([MAX_KNOWN, MAX_KNOWN])
        const { built } = backend.graphCounts ?? { built: 0 }
        launchAndRead(backend, kindsOf(MAX_KNOWN + 8))
        expect(backend.graphCounts).toMatchObject({ built })
        launchAndRead(backend, kindsOf(0))
        expect(emulator.held()).toMatchObject({ graphs: MAX_KNOWN - 1 })
        backend.dispose()
      })
    })
  },
)
