/**
 * Which hosts are this machine alone, and which only look like it.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isLoopback } from '../../src/platform/loopback.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

const local = fc.oneof(
  fc.constantFrom('localhost', 'LocalHost', '::1', '[::1]'),
  fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255)).map((rest) => `127.${rest.join('.')}`),
)
const others = fc.oneof(
  local.map((host) => `${host}.example`),
  local.map((host) => `my${host}`),
  fc.constantFrom('', '0.0.0.0', '128.0.0.1', '10.0.0.1', '::', '::ffff:1', '127.0.0', 'queue.lan'),
)

const isThisMachine = lawForAll(
  'localhost, 127.x.y.z and ::1 are this machine alone; names that contain them are not',
  { near: local, far: others },
  (judge: typeof isLoopback, { near, far }) => expect([judge(near), judge(far)]).toEqual([true, false]),
)
stateLaw(isThisMachine, isLoopback)

test('one that looks for localhost anywhere is found', () =>
  kills(isThisMachine, (host) => /localhost|127\.|::1/i.test(host)))
test('one that knows one address is found', () =>
  kills(isThisMachine, (host) => isLoopback(host) && !/^127\.(?!0\.0\.1$)/.test(host)))
