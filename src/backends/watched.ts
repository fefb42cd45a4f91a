/**
 * A backend whose calls are observed: every op runs as it would, and is then reported as the call of its kernel, with its
 * time. Buffers are those of the backend behind it, so a model that is loaded there can be run here.
 *
 * Observing costs about a microsecond per call, and waits for a device after each call. It shows where time is spent; it is
 * no benchmark.
 */
import { now } from '../platform/platform.ts'
import { opNames, type KernelName, type OpName } from '../ops/catalog.ts'
import type { Backend, Ops, StoredBuffer } from './backend.ts'
import { flatCall, valuesOf, type Argument, type FlatArgument } from './calls.ts'

/** Called after each op: its kernel, and the arguments of the kernel, sizes included. */
export type OnOp = (name: KernelName, args: readonly FlatArgument[], milliseconds: number) => void

/**
 * A backend that reports each op that runs on it, to count or to time what a model computes: load the model on it. It shares the
 * lifetime of the one behind it.
 * @example
 * ```ts
 * import { createBackend, watchBackend } from 'shadowllm/backends'
 * import { suite, verifyBackends } from 'shadowllm/verify'
 *
 * const calls = new Map<string, number>()
 * const backend = watchBackend(await createBackend('wasm'), (name) =>
 *   calls.set(name, (calls.get(name) ?? 0) + 1),
 * )
 * const laws = suite.filter(({ sentence }) => sentence.includes('softmax'))
 * for await (const { law, passed } of verifyBackends([backend], { laws, seed: 1, runs: 5 })) console.log(passed, law)
 * console.log(calls)
 * backend.dispose()
 * ```
 */
export function watchBackend(backend: Backend, onOp: OnOp): Backend {
  return wrapOps(backend, (op, run) => (...args) => {
    const start = now()
    run(...args)
    // A device computes asynchronously; one without a clock is waited for by reading a number that the op wrote.
    if (backend.deviceTime !== undefined) backend.deviceTime()
    else if (backend.device !== undefined) {
      const written = valuesOf(args[0] as StoredBuffer)
      backend.read(backend.view(written, [Math.min(1, written.length)]))
    }
    const milliseconds = now() - start
    const call = flatCall(op, args)
    onOp(call.kernel, call.args, milliseconds)
  })
}

/** An op of any name. */
export type AnyOp = (...args: Argument[]) => void

/** The backend with another function around each op. Everything else is that of the backend behind it. */
export function wrapOps(backend: Backend, wrap: (op: OpName, run: AnyOp) => AnyOp): Backend {
  const ops = Object.fromEntries(
    opNames.map((op) => [op, wrap(op, backend.ops[op] as AnyOp)]),
  ) as unknown as Ops
  return new Proxy(backend, {
    get(target, key) {
      if (key === 'ops') return ops
      const member: unknown = Reflect.get(target, key, target)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}
