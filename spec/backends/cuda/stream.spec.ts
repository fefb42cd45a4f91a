/**
 * The memory of the host that a copy uses is kept until the device is done with it, also where waiting has failed: a driver
 * may make a copy later, and memory that was collected would then be written.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import type { Driver } from '../../../src/backends/cuda/driver.ts'
import { Stream } from '../../../src/backends/cuda/stream.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** A driver that does nothing, and whose device is never done. */
const neverDone = {
  hasFailed: false,
  expectWorking() {},
  call(name: string) {
    if (name === 'cuStreamSynchronize') throw new Error('never done')
  },
  tryCall() {},
  create: () => 1,
  reserve: (bytes: number) => ({ address: 1, buffer: new ArrayBuffer(bytes) }),
} as unknown as Driver

/** Starts a copy that fails, of an array that the caller forgets. */
function forget(copy: (values: Float32Array) => void, length: number): WeakRef<Float32Array> {
  const values = new Float32Array(length)
  expect(() => copy(values)).toThrow('never done')
  return new WeakRef(values)
}

/** Whether an array is collected. A reference keeps its array until the turn of the event loop ends; the next ones are to be sure. */
async function isCollected(array: WeakRef<Float32Array>): Promise<boolean> {
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((done) => setImmediate(done))
    collect()
    if (array.deref() === undefined) return true
  }
  return false
}

const copies: Record<string, [(stream: Stream, values: Float32Array) => void, number]> = {
  'from the device': [(stream, values) => stream.copyOut(values, 1), 3],
  'to the device': [(stream, values) => stream.copyIn(1, values, true), 2 ** 17],
}

test.each(Object.entries(copies))(
  'the array of a copy %s is kept until the stream is destroyed, and no longer',
  async (_, [copy, length]) => {
    const stream = new Stream(neverDone, false)
    const array = forget((values) => copy(stream, values), length)
    expect(await isCollected(array)).toBe(false)
    stream.destroy()
    expect(await isCollected(array)).toBe(true)
  },
)
