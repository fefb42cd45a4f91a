/**
 * A command line that runs inside this process has arguments, environment and ctrl-C of its own, and leaves the process
 * unchanged, so that no test depends on earlier ones.
 */
import { afterEach, describe, expect, test, vi } from 'vitest'
import { leavingTheProcess, runInside } from './run_inside.ts'

const few = ['cost', '-m', 'opt-125m', '--bandwidth', '20', '--json']

test('each run has its own arguments, also if two are started in parallel', async () => {
  const runs = [few, [...few, '--tokens', '7']]
  const results = await Promise.all(runs.map((args) => runInside(args)))
  const said = results.map(({ stdout }) => JSON.parse(stdout) as { provenance: { argv: string[] } })
  expect(said.map(({ provenance }) => provenance.argv)).toEqual(runs)
})

test('the environment of a run is restored after it', async () => {
  vi.stubEnv('SHADOWLLM_QUEUE_PASSWORD', 'before')
  const env = { HF_HUB_OFFLINE: '1', SHADOWLLM_QUEUE_PASSWORD: 'during' }
  const { code } = await runInside(['generate', 'a', '-m', 'nobody/nothing'], { env })
  expect(code).toBe(5)
  expect(process.env.SHADOWLLM_QUEUE_PASSWORD).toBe('before')
  expect(process.env.HF_HUB_OFFLINE).toBe(undefined)
  vi.unstubAllEnvs()
})

test('ctrl-C is pressed when the test says so, and in no later run', async () => {
  const generate = ['generate', 'The captain', '--max-tokens', '3', '--quiet']
  const whole = await runInside(generate)
  const stopped = await runInside(generate, { interruptWhen: ({ stdout }) => stdout !== '' })
  expect(stopped).toMatchObject({ code: 130, stderr: 'shadowllm: interrupted [INTERRUPTED]\n' })
  expect(stopped.stdout.length).toBeLessThan(whole.stdout.length)
  expect(await runInside(generate)).toEqual(whole)
})

describe('a change of the process by a run is found, by name', () => {
  const listener = (): void => {}
  afterEach(() => {
    process.exitCode = undefined
    delete process.env.SHADOWLLM_PLANTED
    process.off('SIGTERM', listener)
  })

  test.each<[string, () => void]>([
    ['the exit code', () => void (process.exitCode = 3)],
    ['the arguments', () => void (process.argv = [...process.argv, 'planted'])],
    ['the variable SHADOWLLM_PLANTED', () => void (process.env.SHADOWLLM_PLANTED = 'x')],
    ['the listeners of SIGTERM', () => void process.on('SIGTERM', listener)],
  ])('%s', async (what, plant) => {
    const argv = process.argv
    await expect(leavingTheProcess('planted', async () => plant())).rejects.toThrow(
      `planted: expected no change of the process, got one of ${what}`,
    )
    process.argv = argv
  })

  test('without a change the result is returned', async () => {
    expect(await leavingTheProcess('nothing', async () => 7)).toBe(7)
  })
})
