/**
 * What the host side holds of a driver it gives back, whichever call fails and when; and what the emulator refuses.
 *
 * Every call of some work is made to fail in turn. Either it is one that only gives something back, and nobody hears of
 * it, or the error names it; from then on all is refused with the same words; and after `dispose` nothing is held.
 *
 * Tests src/backends/cuda/device.ts, src/backends/cuda/launch_memory.ts and src/backends/cuda/graphs.ts.
 */
import { describe, expect, test } from 'vitest'
import { whyNoEmulator } from '../../../scripts/cuda/emulator.ts'
import type { Backend } from '../../../src/backends/backend.ts'
import { CudaBackend } from '../../../src/backends/cuda/cuda_backend.ts'
import type { CallName, Driver } from '../../../src/backends/cuda/driver.ts'
import { FEWEST_NODES } from '../../../src/backends/cuda/graphs.ts'
import { LaunchMemory, nodeParameters, type Task } from '../../../src/backends/cuda/launch_memory.ts'
import { kernels } from '../../../src/ops/catalog.ts'
import { MissingError } from '../../../src/tensor/errors.ts'
import { meddle, nothing, withOwnEmulator, type OwnEmulator } from './emulator.ts'

/** Something of everything: copies, launches, graphs made, changed and launched, the time taken. */
function work(backend: Backend, sibling: Backend): void {
  backend.deviceTime?.()
  const x = backend.upload(Float32Array.of(-1, 2, 3))
  const y = backend.allocate('f32', [3])
  sibling.upload(Int32Array.of(1))
  for (let round = 0; round < 4; round++) {
    const lent = backend.upload(Float32Array.of(round))
    const [to, from] = [y, x].map((buffer) => backend.view(buffer, [1 + (round % 3)]))
    for (let i = 0; i < FEWEST_NODES; i++) backend.ops.add(to, i % 2 === 0 ? from : to, from)
    const first = backend.view(x, [1])
    backend.ops.add(first, first, lent)
    backend.free(lent)
    backend.readF32(y)
  }
  // Large enough to be waited for at once.
  backend.free(backend.upload(new Float32Array(2 ** 17)))
  backend.write(x, Float32Array.of(1))
  backend.ops.relu(x, x)
  backend.zero(y)
  backend.deviceTime?.()
  backend.ops.relu(x, x)
}

/** What becomes of the work. */
interface Ending {
  readonly error: unknown
  /** What is said when something else is tried after an error. */
  readonly again: unknown
}

async function runToTheEnd(driver: Driver): Promise<Ending> {
  const backends: Backend[] = []
  let [error, again]: unknown[] = [null, null]
  try {
    backends.push(await CudaBackend.on(driver, 'cuda-emulated'))
    backends.push(backends[0].sibling())
    work(backends[0], backends[1])
  } catch (thrown) {
    error = thrown
    again = thrownBy(() => backends[0]?.upload(Float32Array.of(1)))
  }
  for (const backend of backends) {
    const thrown = thrownBy(() => backend.dispose())
    error ??= thrown
  }
  return { error, again }
}

function thrownBy(run: () => void): unknown {
  try {
    run()
    return null
  } catch (error) {
    return error
  }
}

/** CUresult: CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_OUT_OF_MEMORY. */
const results = [1, 2]

/**
 * Whichever call fails, what it was made for is given back, and what is thrown is typed.
 * @returns the calls that errors named
 * @throws Error saying at which call something is wrong
 */
async function nothingStays(
  emulator: OwnEmulator,
  prepare: (driver: Driver) => Driver = (driver) => driver,
): Promise<Set<string>> {
  const before = emulator.calls()
  const whole = await runToTheEnd(prepare(await emulator.driver()))
  if (whole.error !== null) throw whole.error
  const calls = emulator.calls() - before
  const named = new Set<string>()
  for (const result of results)
    for (let others = 0; others <= calls; others++) {
      const driver = prepare(await emulator.driver())
      emulator.failAfter(others, result)
      const { error, again } = await runToTheEnd(driver)
      const what = `call ${others} of ${calls}, result ${result}`
      expect(emulator.held(), what).toEqual(nothing)
      if (others === calls) expect(error, what).toBeNull()
      if (error === null) continue
      expect(error, what).toBeInstanceOf(MissingError)
      const { code, message } = error as MissingError
      expect(['CUDA_CALL', 'BACKEND_MEMORY'], what).toContain(code)
      if (code === 'BACKEND_MEMORY') continue
      expect(message, what).toMatch(
        /^cu\w+: expected CUDA_SUCCESS, got CUDA_ERROR_\w+ \(a failure that was asked for\)$/,
      )
      if (again !== null) expect(again, what).toBe(error)
      named.add(message.split(':')[0])
    }
  return named
}

const missing = await whyNoEmulator()

describe.skipIf(missing !== null)(
  `emulated${missing === null ? '' : `, which needs g++: ${missing}`}`,
  () => {
    test('every resource is released, whichever call failed', async () => {
      await withOwnEmulator(async (emulator) => {
        const named = await nothingStays(emulator)
        const expected: CallName[] = [
          'cuCtxSetCurrent',
          'cuDeviceGetAttribute',
          'cuDeviceGetCount',
          'cuDevicePrimaryCtxRetain',
          'cuDriverGetVersion',
          'cuEventCreate',
          'cuEventElapsedTime',
          'cuEventRecord',
          'cuFuncSetAttribute',
          'cuGraphAddKernelNode_v2',
          'cuGraphCreate',
          'cuGraphExecKernelNodeSetParams_v2',
          'cuGraphInstantiateWithFlags',
          'cuGraphLaunch',
          'cuInit',
          'cuLaunchKernel',
          'cuMemAlloc_v2',
          'cuMemFree_v2',
          'cuMemcpyDtoHAsync_v2',
          'cuMemcpyHtoDAsync_v2',
          'cuMemsetD8Async',
          'cuModuleGetFunction',
          'cuModuleLoadData',
          'cuStreamCreate',
          'cuStreamSynchronize',
        ]
        for (const call of expected) expect(named).toContain(call)
      })
    })

    /** The driver, which does not do what one of its calls is for. */
    function withoutCall(driver: Driver, name: CallName): Driver {
      const tryCall = driver.tryCall.bind(driver) as (name: CallName, ...args: unknown[]) => void
      driver.tryCall = ((called: CallName, ...args: unknown[]) => {
        if (called !== name) tryCall(called, ...args)
      }) as Driver['tryCall']
      return meddle(driver, name, () => {})
    }

    test.each([
      'cuDevicePrimaryCtxRelease_v2',
      'cuEventDestroy_v2',
      'cuGraphDestroy',
      'cuGraphExecDestroy',
      'cuMemFree_v2',
      'cuModuleUnload',
      'cuStreamDestroy_v2',
    ] as const)('a mutant that never calls %s: killed', async (call) => {
      await withOwnEmulator(async (emulator) => {
        const broken = nothingStays(emulator, (driver) => withoutCall(driver, call))
        await expect(broken).rejects.toThrow(/^call 0 of \d+, result 1: expected/)
      })
    })

    test('memory that is released when work ends is used', async () => {
      await withOwnEmulator(async (emulator) => {
        const backend = await CudaBackend.on(await emulator.driver(), 'cuda-emulated')
        const x = backend.upload(Float32Array.of(-1))
        const y = backend.upload(Float32Array.of(2))
        backend.ops.relu(y, x)
        backend.free(x)
        expect(emulator.held().allocations, 'still in use').toBe(2)
        emulator.failAfter(0, 2)
        const z = backend.allocate('f32', [1])
        expect(emulator.held().allocations, 'given back for it').toBe(2)
        expect([...backend.readF32(y), ...backend.readF32(z)]).toEqual([0, 0])
        emulator.failAfter(0, 2)
        expect(() => backend.allocate('f32', [1])).toThrow(
          expect.objectContaining({ code: 'BACKEND_MEMORY' }),
        )
        expect([...backend.readF32(y)], 'no failure of the device').toEqual([0])
        backend.dispose()
      })
    })

    describe('the emulator refuses', () => {
      interface Bench {
        readonly driver: Driver
        readonly kernel: number
        readonly stream: number
        readonly memory: LaunchMemory
      }

      const relu = (kernel: number): Task => ({
        kernel: { definition: kernels['relu'], handle: kernel, id: 0 },
        launch: { blocks: 1, threads: 32, shared: 0 },
        args: [0, 0, 0],
      })

      /** A driver that has begun, with a kernel, a stream, and a place for launches. */
      async function begin(emulator: OwnEmulator): Promise<Bench> {
        const driver = await emulator.driver()
        // Opened for its module, which stays loaded with it.
        const backend = await CudaBackend.on(driver, 'cuda-emulated')
        let kernel = 0
        meddle(driver, 'cuLaunchKernel', ([handle]) => void (kernel = handle as number))
        const x = backend.upload(Float32Array.of(1))
        backend.ops.relu(x, x)
        backend.readF32(x)
        return {
          driver,
          kernel,
          stream: driver.create('cuStreamCreate', 1),
          memory: new LaunchMemory(driver),
        }
      }

      const addNode = ({ driver, memory }: Bench, graph: number, task: Task, ...before: number[]): number => {
        const handles = BigUint64Array.from(before, BigInt)
        const parameters = memory.placeNode(task)
        return driver.create('cuGraphAddKernelNode_v2', graph, handles, before.length, parameters)
      }

      const misuses: { what: string; says: string; misuse: (bench: Bench) => void }[] = [
        {
          what: 'a stream that waits for the default one',
          says: 'cuStreamCreate: expected CUDA_SUCCESS, got CUDA_ERROR_INVALID_VALUE (expected a stream that does not',
          misuse: ({ driver }) => driver.create('cuStreamCreate', 0),
        },
        {
          what: 'a stream after its end',
          says: 'cuStreamSynchronize: expected CUDA_SUCCESS, got CUDA_ERROR_INVALID_HANDLE (expected a stream that was',
          misuse({ driver, stream }) {
            driver.call('cuStreamDestroy_v2', stream)
            driver.call('cuStreamSynchronize', stream)
          },
        },
        {
          what: 'an event after its end',
          says: 'cuEventRecord: expected CUDA_SUCCESS, got CUDA_ERROR_INVALID_HANDLE (expected an event that was made',
          misuse({ driver, stream }) {
            const event = driver.create('cuEventCreate', 0)
            driver.call('cuEventDestroy_v2', event)
            driver.call('cuEventRecord', event, stream)
          },
        },
        {
          what: 'the time between events of which one was not recorded',
          says: 'cuEventElapsedTime: expected CUDA_SUCCESS, got CUDA_ERROR_INVALID_HANDLE (expected two events that were r',
          misuse({ driver, stream }) {
            const [start, stop] = [driver.create('cuEventCreate', 0), driver.create('cuEventCreate', 0)]
            driver.call('cuEventRecord', start, stream)
            driver.call('cuStreamSynchronize', stream)
            driver.call('cuEventElapsedTime', new Float32Array(1), start, stop)
          },
        },
        {
          what: 'the time between events that nobody waited for',
          says: 'cuEventElapsedTime: expected CUDA_SUCCESS, got CUDA_ERROR_NOT_READY (expected two events that were w',
          misuse({ driver, stream }) {
            const [start, stop] = [driver.create('cuEventCreate', 0), driver.create('cuEventCreate', 0)]
            driver.call('cuEventRecord', start, stream)
            driver.call('cuEventRecord', stop, stream)
            driver.call('cuEventElapsedTime', new Float32Array(1), start, stop)
          },
        },
        {
          what: 'to launch a graph after its end',
          says: 'cuGraphLaunch: expected CUDA_SUCCESS, got CUDA_ERROR_INVALID_VALUE (expected a graph made to run and not',
          misuse(bench) {
            const { driver, kernel, stream } = bench
            const graph = driver.create('cuGraphCreate', 0)
            addNode(bench, graph, relu(kernel))
            const executable = driver.create('cuGraphInstantiateWithFlags', graph, 0)
            driver.call('cuGraphExecDestroy', executable)
            driver.call('cuGraphLaunch', executable, stream)
          },
        },
        {
          what: 'a node whose kernel becomes one that there is not',
          says: 'cuGraphExecKernelNodeSetParams_v2: expected CUDA_SUCCESS, got CUDA_ERROR_INVALID_HANDLE (expected a fu',
          misuse(bench) {
            const { driver, kernel, memory } = bench
            const graph = driver.create('cuGraphCreate', 0)
            const node = addNode(bench, graph, relu(kernel))
            const executable = driver.create('cuGraphInstantiateWithFlags', graph, 0)
            const parameters = memory.placeNode(relu(kernel + 1))
            driver.call('cuGraphExecKernelNodeSetParams_v2', executable, node, parameters)
          },
        },
        {
          what: 'a node of another graph',
          says: 'cuGraphExecKernelNodeSetParams_v2: expected CUDA_SUCCESS, got CUDA_ERROR_INVALID_VALUE (expected a node',
          misuse(bench) {
            const { driver, kernel, memory } = bench
            const [graph, other] = [driver.create('cuGraphCreate', 0), driver.create('cuGraphCreate', 0)]
            addNode(bench, graph, relu(kernel))
            const node = addNode(bench, other, relu(kernel))
            const executable = driver.create('cuGraphInstantiateWithFlags', graph, 0)
            driver.call('cuGraphExecKernelNodeSetParams_v2', executable, node, memory.placeNode(relu(kernel)))
          },
        },
        {
          what: 'a node after one of another graph',
          says: 'cuGraphAddKernelNode_v2: expected CUDA_SUCCESS, got CUDA_ERROR_INVALID_VALUE (expected to come after n',
          misuse(bench) {
            const { driver, kernel } = bench
            const [graph, other] = [driver.create('cuGraphCreate', 0), driver.create('cuGraphCreate', 0)]
            addNode(bench, graph, relu(kernel), addNode(bench, other, relu(kernel)))
          },
        },
        {
          what: 'a node without threads',
          says: 'cuGraphAddKernelNode_v2: expected CUDA_SUCCESS, got CUDA_ERROR_INVALID_VALUE (expected blocks, and of',
          misuse(bench) {
            const { driver, kernel } = bench
            const launch = { blocks: 1, threads: 0, shared: 0 }
            addNode(bench, driver.create('cuGraphCreate', 0), { ...relu(kernel), launch })
          },
        },
        {
          what: 'memory that is given back while work may use it',
          says: 'cuMemFree_v2: expected CUDA_SUCCESS, got CUDA_ERROR_INVALID_VALUE (expected no work that nobody waited',
          misuse({ driver, stream }) {
            const place = driver.allocate(4) as number
            driver.call('cuMemsetD8Async', place, 0, 4, stream)
            driver.call('cuMemFree_v2', place)
          },
        },
        {
          what: 'copies to memory that there is not',
          says: 'cuMemcpyHtoDAsync_v2: expected CUDA_SUCCESS, got CUDA_ERROR_INVALID_VALUE (expected memory of the dev',
          misuse: ({ driver, stream }) =>
            driver.call('cuMemcpyHtoDAsync_v2', 8, Float32Array.of(1), 4, stream),
        },
      ]

      test.each(misuses)('$what', async ({ misuse, says }) => {
        await withOwnEmulator(async (emulator) => {
          const bench = await begin(emulator)
          let message = 'nothing'
          try {
            misuse(bench)
          } catch (error) {
            ;({ message } = error as Error)
          }
          expect(message.slice(0, says.length)).toBe(says)
        })
      })
    })

    test('a node written a field further is refused', async () => {
      await withOwnEmulator(async (emulator) => {
        const driver = await emulator.driver()
        const backend = await CudaBackend.on(driver, 'cuda-emulated')
        meddle(driver, 'cuGraphAddKernelNode_v2', ([node, graph, before, count, at], proceed) =>
          proceed(node, graph, before, count, (at as number) + nodeParameters.offsets.gridDimX),
        )
        const repeat = (): void => {
          for (let round = 0; round < 2; round++) {
            const x = backend.upload(Float32Array.of(1))
            for (let i = 0; i < FEWEST_NODES; i++) backend.ops.relu(x, x)
            backend.readF32(x)
          }
        }
        expect(repeat).toThrow(/^cuGraphAddKernelNode_v2: expected CUDA_SUCCESS/)
        backend.dispose()
      })
    })
  },
)
