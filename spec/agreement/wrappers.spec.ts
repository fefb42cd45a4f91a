/**
 * What wraps something is compared with what it wraps over all members of that: none is dropped, none is changed but those that
 * the wrapper is for.
 *
 * Tests src/backends/watched.ts, src/bench/op_times.ts and src/web/engine/study.ts. Wrappers of planners that sequences see are
 * in planner_questions.spec.ts.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { watchBackend, wrapOps } from '../../src/backends/watched.ts'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { createBackend } from '../../src/backends/select.ts'
import { backendNames, type Backend } from '../../src/backends/backend.ts'
import { WatchedModel } from '../../src/bench/op_times.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { ShadowModel } from '../../src/library/index.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import { opNames } from '../../src/ops/catalog.ts'
import { study } from '../../src/web/engine/study.ts'
import { decisions, studyPlanners } from '../../src/web/engine/study_types.ts'
import { loadSmallModel } from '../evaluation/small_model.ts'
import { writeChatModel } from '../library/chat_model.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

/** The names of all members of an object, inherited ones too, but for those of every object. */
function memberNames(of: object): string[] {
  const names = new Set<string>()
  for (
    let one: object | null = of;
    one && one !== Object.prototype;
    one = Object.getPrototypeOf(one) as object | null
  )
    for (const name of Object.getOwnPropertyNames(one)) if (name !== 'constructor') names.add(name)
  return [...names]
}

/** The members of the interface, also those that only backends with a device have. */
function interfaceNames(): string[] {
  const text = readFileSync(new URL('../../src/backends/backend.ts', import.meta.url), 'utf8')
  const start = text.indexOf('export interface Backend {')
  const found = [
    ...text.slice(start, text.indexOf('\n}\n', start)).matchAll(/^ {2}(?:readonly )?(\w+)\??[:(]/gm),
  ]
  return found.map(([, name]) => name)
}

type Wrap = (backend: Backend) => Backend

/**
 * Every member of a backend is that of the wrapped one: a value is the same, and a method is called with the arguments and gives the
 * result. Ops run, and nothing else is called.
 */
function expectAllMembers(wrap: Wrap, real: Backend): void {
  const names = [...new Set([...memberNames(real), ...interfaceNames()])]
  const calls: unknown[][] = []
  const ran: unknown[][] = []
  const stub = Object.fromEntries(
    names.map((name) => {
      const member: unknown = Reflect.get(real, name)
      if (member !== undefined && typeof member !== 'function') return [name, { value: name }]
      return [name, (...args: unknown[]) => (calls.push([name, ...args]), { result: name })]
    }),
  ) as unknown as Record<string, unknown>
  stub.ops = Object.fromEntries(
    opNames.map((op) => [op, (...args: unknown[]) => void ran.push([op, ...args])]),
  )
  const wrapped = wrap(stub as unknown as Backend) as unknown as Record<string, unknown>
  for (const name of names) {
    if (name === 'ops') continue
    const member = wrapped[name]
    if (typeof stub[name] !== 'function') expect(member, name).toBe(stub[name])
    else {
      expect((member as (...args: unknown[]) => unknown)(1, name, 3), name).toEqual({ result: name })
      expect(calls.splice(0), name).toEqual([[name, 1, name, 3]])
    }
  }
  const ops = wrapped.ops as Record<string, (...args: unknown[]) => void>
  expect(Object.keys(ops).toSorted()).toEqual([...opNames].toSorted())
  for (const op of opNames) {
    ops[op](op, 2)
    expect(ran.splice(0), op).toEqual([[op, op, 2]])
  }
}

describe('a watched backend', () => {
  const plainly: Wrap = (backend) =>
    wrapOps(
      backend,
      (_, run) =>
        (...args) =>
          run(...args),
    )

  test.each(backendNames.filter((name) => name === 'reference' || name === 'wasm'))(
    'is the backend %s in every member',
    async (name) => {
      const backend = await createBackend(name)
      expectAllMembers(plainly, backend)
      backend.dispose()
    },
  )

  test('reports each call and hands everything else on', async () => {
    const backend = new ReferenceBackend()
    const seen: string[] = []
    const watched = watchBackend(backend, (name) => seen.push(name))
    const buffers = [1, 2, 3].map((value) => watched.upload(Float32Array.of(value)))
    watched.ops.add(buffers[0], buffers[1], buffers[2])
    expect([seen, watched.readF32(buffers[0])[0], watched.liveBuffers]).toEqual([['add'], 5, 3])
    for (const buffer of buffers) watched.free(buffer)
    expect(backend.liveBuffers).toBe(0)
  })

  test('wrappers that drop a method, its arguments or an op: found', () => {
    const right = new ReferenceBackend()
    const spoilt =
      (change: (backend: Backend) => Partial<Backend>): Wrap =>
      (backend) => ({ ...backend, ...change(backend) })
    expect(() =>
      expectAllMembers(
        spoilt(() => ({})),
        right,
      ),
    ).not.toThrow()
    const mutants: Wrap[] = [
      spoilt(() => ({ deviceTime: undefined, sibling: undefined as never })),
      spoilt((backend) => ({ allocate: (dtype, shape) => backend.allocate(dtype, shape) })),
      spoilt((backend) => ({ write: (buffer, values) => backend.write(buffer, values) })),
      spoilt((backend) => ({ ops: { ...backend.ops, relu: () => {} } })),
      spoilt(() => ({ threads: undefined as never })),
    ]
    for (const mutant of mutants) expect(() => expectAllMembers(mutant, right)).toThrow()
  })
})

test('a watched model has every member of the model, and its numbers', async () => {
  let calls = 0
  const backend = wrapOps(await createBackend('reference'), (_, run) => (...args) => {
    calls++
    run(...args)
  })
  const model = await loadSmallModel(backend)
  const watched = new WatchedModel(model)
  const tokens = Int32Array.of(2, 5, 6, 7)
  for (const name of memberNames(model)) {
    const own: unknown = Reflect.get(model, name)
    const its: unknown = Reflect.get(watched.model, name)
    if (name !== 'backend' && name !== 'weights') expect(its, name).toEqual(own)
  }
  for (const [name, own] of Object.entries(model.weights))
    if (name !== 'layers' && name !== 'dispose')
      expect((watched.model.weights as unknown as Record<string, unknown>)[name], name).toBe(own)
  expect(watched.model.weights.layers).toHaveLength(model.weights.layers.length)
  watched.recording = true
  const logits = [model, watched.model].map((one) => {
    calls = 0
    using sequence = one.begin()
    return sequence.feed(tokens, 'all')
  })
  expect(watched.times.reduce((sum, time) => sum + time.calls, 0)).toBe(calls)
  expect(logits[1]).toEqual(logits[0])
  watched.dispose()
  model.dispose()
  expect(backend.liveBuffers).toBe(0)
})

describe('the planner of a study', () => {
  const folder = temporaryFolder()
  const opened = writeChatModel(join(folder, 'model')).then(() =>
    ShadowModel.fromPretrained(join(folder, 'model'), { backend: 'reference' }),
  )
  afterAll(async () => (await opened).dispose())
  const settingsOf = (planner: MaskPlanner): unknown =>
    Object.fromEntries(
      Object.entries(planner)
        .filter(([key]) => key !== 'every')
        .map(([key, member]: [string, unknown]) => {
          if (typeof member === 'function') return [key, 'asked']
          return [key, key === 'ranking' ? Object.keys(member as object) : member]
        }),
    )

  const made = studyPlanners.filter(
    (name): name is Exclude<typeof name, 'oracle'> => !['shadow', 'static', 'dense', 'oracle'].includes(name),
  )
  test.each(made)(
    '%s has every member of the planner of the library, and decides when it is asked to',
    async (planner) => {
      const opt = await opened
      for (const decides of decisions) {
        if (decides === 'always' && ['griffin', 'coreinfer'].includes(planner)) continue
        const begin = vi.spyOn(LanguageModel.prototype, 'begin')
        const choice = { planner, sparsity: 0.5, seed: 3 }
        for await (const _ of study(opt, 'abc', { ...choice, decides, maxTokens: 2, compares: false }));
        const planners = begin.mock.calls.flatMap(([options]) => (options?.planner ? [options.planner] : []))
        begin.mockRestore()
        const own = (await opt.planner({ ...choice, planner })) as MaskPlanner
        expect(planners.length).toBe(1)
        expect(settingsOf(planners[0])).toEqual(settingsOf(own))
        expect(planners[0].every).toBe(decides === 'always' ? 1 : undefined)
      }
    },
  )
})
