/**
 * A backend that is looked over the shoulder: every op runs as it would, and is then reported with its arguments and its
 * time. Buffers are those of the backend behind it, so a model that is loaded there can be run here.
 *
 * Looking costs a microsecond or so per call, and a device is waited for after each; it is for finding out where time goes,
 * not for figures.
 */
import { now } from '../platform/platform.ts'
import { opNames, type OpName } from '../ops/catalog.ts'
import type { Backend, Ops } from './backend.ts'

/** The arguments of an op, as its caller gave them. */
export type OpArguments = Parameters<Ops[OpName]>

/** Told of a call when it has ended. */
export type OnOp = (name: OpName, args: OpArguments, milliseconds: number) => void

/** An op of any name. */
export type AnyOp = (...args: OpArguments) => void

/** The backend, watched. It is as alive as the one behind it, and is not disposed of by itself. */
export function watchBackend(backend: Backend, onOp: OnOp): Backend {
  return wrapOps(backend, (name, run) => (...args) => {
    const start = now()
    run(...args)
    // A device may have begun nothing yet.
    backend.deviceTime?.()
    onOp(name, args, now() - start)
  })
}

/** The backend with another function around each op. Everything else is that of the backend behind it. */
export function wrapOps(backend: Backend, wrap: (name: OpName, run: AnyOp) => AnyOp): Backend {
  const ops = Object.fromEntries(
    opNames.map((name) => [name, wrap(name, backend.ops[name] as AnyOp)]),
  ) as unknown as Ops
  return new Proxy(backend, {
    get(target, key) {
      if (key === 'ops') return ops
      const member: unknown = Reflect.get(target, key, target)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}
