/**
 * An engine that has ended gives its memory to a later one, so that a short-lived backend costs no garbage collection. No two live
 * engines have the same memory, and the scratch of each begins as zeros. Tests src/backends/wasm/engine.ts.
 */
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { kernelFiles } from '../../../src/backends/kernel_files.ts'
import { idleMemories, PAGE, startAlone, type Engine } from '../../../src/backends/wasm/engine.ts'
import { WasmBackend } from '../../../src/backends/wasm/wasm_backend.ts'
import { kills, lawForAll, stateLaw } from '../../harness/seed.ts'

type Start = typeof startAlone

const module = await WebAssembly.compile((await kernelFiles.wasm()) as BufferSource)

/** An engine that nothing has computed with, and whose memory is of no other engine. */
const startedNew = startAlone(module)
afterAll(() => startedNew.end())

/** What happens to engines: one starts, or the one that has lived longest ends, perhaps twice. */
const events = fc.array(fc.constantFrom('start', 'end', 'end twice'), { minLength: 4, maxLength: 12 })

const livesAlone = lawForAll(
  'whatever starts and ends, live engines have different memories, whose scratch was zeros at their start',
  { events },
  (start: Start, { events: drawn }) => {
    const live: Engine[] = []
    const end = (times: number): void => {
      const engine = live.shift()
      for (let i = 0; i < times; i++) engine?.end()
    }
    try {
      for (const event of drawn) {
        if (event !== 'start') end(event === 'end' ? 1 : 2)
        else {
          const engine = start(module)
          const scratch = new Uint8Array(engine.memory.buffer, 0, engine.heapBase)
          const before = new Uint8Array(startedNew.memory.buffer, 0, engine.heapBase)
          if (Buffer.compare(scratch, before) !== 0) return false
          if (live.some(({ memory }) => memory === engine.memory)) return false
          scratch.fill(7)
          live.push(engine)
        }
      }
      return true
    } finally {
      while (live.length > 0) end(1)
    }
  },
)

stateLaw(livesAlone, startAlone)

test('a memory with the scratch of its last engine is found', () =>
  kills(livesAlone, (given) => {
    const engine = startAlone(given)
    new Uint8Array(engine.memory.buffer, 0, 8).fill(7)
    return engine
  }))

test('a memory that two live engines share is found', () => {
  let last: Engine | null = null
  return kills(
    livesAlone,
    (given) => (last = last === null ? startAlone(given) : { ...startAlone(given), memory: last.memory }),
  )
})

test('an engine gets the memory of one that has ended, unless it is larger than an idle one may be', () => {
  // No memory is idle after as many starts as there may be idle ones.
  const [first, second, ...others] = Array.from({ length: idleMemories.most + 2 }, () => startAlone(module))
  first.end()
  second.memory.grow(idleMemories.pages)
  second.end()
  const third = startAlone(module)
  expect(third.memory).toBe(first.memory)
  const fourth = startAlone(module)
  expect(fourth.memory).not.toBe(second.memory)
  for (const engine of [...others, third, fourth]) engine.end()
})

test('a buffer of a backend that has the memory of an ended one begins as zeros', async () => {
  for (let turn = 0; turn < 2; turn++) {
    const backend = await WasmBackend.create()
    const buffer = backend.allocate('f32', [PAGE])
    expect(backend.readF32(buffer).every((value) => value === 0)).toBe(true)
    backend.write(buffer, new Float32Array(PAGE).fill(1))
    backend.free(buffer)
    backend.dispose()
  }
})
