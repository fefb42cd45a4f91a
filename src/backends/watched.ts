/**
 * A backend whose calls are observed: every op runs as it would, and is then reported as the call of its kernel, with its
 * time. Buffers are those of the backend behind it, so a model that is loaded there can be run here.
 *
 * Observing costs a microsecond or so per call, and a device is waited for after each; it is for finding out where time
 * goes, not for figures.
 */
import { now } from '../platform/platform.ts'
import { opNames, type KernelName, type OpName } from '../ops/catalog.ts'
import type { Backend, Ops } from './backend.ts'
import { flatCall, type Argument, type FlatArgument } from './calls.ts'

/** Told of a call when it has ended: its kernel, and what that was given, sizes included. */
export type OnOp = (name: KernelName, args: readonly FlatArgument[], milliseconds: number) => void

/** The backend, observed. It is as alive as the one behind it, and is not disposed of by itself. */
export function watchBackend(backend: Backend, onOp: OnOp): Backend {
  return wrapOps(backend, (op, run) => (...args) => {
    const start = now()
    run(...args)
    // A device may have begun nothing yet.
    backend.deviceTime?.()
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
