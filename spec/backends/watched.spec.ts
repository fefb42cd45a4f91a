/**
 * A watched backend does what the one behind it does, and hides no call.
 */
import { expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { watchBackend } from '../../src/backends/watched.ts'
import type { WebGpuBackend } from '../../src/backends/webgpu/webgpu_backend.ts'
import { overBackends } from '../harness/backends.ts'

overBackends((backend) => {
  test('results are unchanged, and every call is reported with its arguments and its time', () => {
    const calls: [string, readonly unknown[], number][] = []
    const watched = watchBackend(backend, (...call) => calls.push(call))
    const x = watched.upload(Float32Array.of(-1, 2, -3))
    const y = watched.allocate('f32', [3])
    const part = [watched.view(y, [2]), watched.view(x, [2])] as const
    watched.ops.relu(y, x)
    watched.ops.add(part[0], ...part)
    expect([...watched.readF32(y)]).toEqual([-1, 4, 0])
    expect(calls.map(([name, args]) => [name, args])).toEqual([
      ['relu', [y, x, 3]],
      ['add', [part[0], ...part, 2]],
    ])
    for (const [, , milliseconds] of calls) expect(milliseconds).toBeGreaterThanOrEqual(0)
    watched.free(x)
    watched.free(y)
  })

  test('a device has done each op when its time is known', () => {
    const { counts } = backend as Partial<WebGpuBackend>
    if (counts === undefined) return
    const x = backend.upload(Float32Array.of(-1, 2))
    const submissions: number[] = []
    const watched = watchBackend(backend, () => submissions.push(counts.submissions))
    for (let i = 0; i < 3; i++) watched.ops.relu(x, x)
    expect(submissions.map((count) => count - submissions[0])).toEqual([0, 1, 2])
    backend.free(x)
  })

  test('buffers are those of the backend behind it, and so are names and counts', () => {
    const watched = watchBackend(backend, () => {})
    const x = backend.upload(Float32Array.of(-1))
    watched.ops.relu(x, x)
    expect([...backend.readF32(x)]).toEqual([0])
    expect([watched.name, watched.liveBuffers]).toEqual([backend.name, 1])
    watched.free(x)
  })
})

test('a refused call is refused alike, and not reported', async () => {
  const backend = await createBackend('reference')
  const told: string[] = []
  const watched = watchBackend(backend, (name) => told.push(name))
  const [y, x] = [watched.allocate('f32', [1]), watched.allocate('f32', [2])]
  expect(() => watched.ops.relu(y, x)).toThrow('relu.x: expected [1], got [2]')
  expect(told).toEqual([])
  backend.dispose()
})
