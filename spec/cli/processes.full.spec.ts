/**
 * What only a process of its own can show. Every other spec of the command line runs it inside this process (run_inside.ts), and
 * the same runs are compared here once. Signals: signals.full.spec.ts; a terminal: terminal.full.spec.ts; a limit of the system:
 * full_disk.full.spec.ts; a download that is killed ten times: hub_kill.full.spec.ts; other runtimes: deno.full.spec.ts.
 *
 *   a process                                only it can show
 *   ends with each exit code                 main.ts and session.ts, and that its outputs are those of a run inside this process
 *   has threads                              that they end with it
 *   has a closed pipe                        that the system's EPIPE ends nothing
 *   is killed while it writes                that no partial file has a final name, and what the next run finds
 *   has another one beside it                a download at the same time into the same cache
 *   goes on with the session of another      that its file is all that is needed
 *
 * Tests src/cli/main.ts, src/cli/run.ts and src/cli/session.ts.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { Random } from '../../src/tensor/random.ts'
import { filesOf } from '../calibration/small_calibration.ts'
import { runSeed } from '../harness/seed.ts'
import { sha256, type MockHub } from '../io/mock_hub.ts'
import { writeChatModel } from '../library/chat_model.ts'
import { repository, startHub, surroundings } from './hub_model.ts'
import { largeCheckpoint } from './large_checkpoint.ts'
import { someText } from './output_writers.ts'
import { runCli, tinyFolder } from './run_cli.ts'
import { runInside } from './run_inside.ts'
import { makeSmallPretraining } from './small_pretraining.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-processes-'))
afterAll(() => rmSync(folder, { recursive: true }))

const cases = `${tinyFolder}/cases/`

describe('a process ends', () => {
  test.each<[number, string[]]>([
    [0, ['generate', 'a', '--max-tokens', '2', '--quiet']],
    [1, ['parity', 'check', `${cases}batch.safetensors`, `${cases}single.safetensors`]],
    [2, ['generate', 'a', '--sparsity', '1.2']],
    [3, ['generate', 'a', '-m', join(folder, 'none')]],
    [4, ['generate', 'a', '--planner', 'dejavu']],
    [5, ['generate', 'a', '-m', 'nobody/nothing', '--offline']],
  ])('with exit code %i and the outputs of a run inside this process: %j', async (code, args) => {
    const env = { HF_HUB_CACHE: folder }
    const result = await runCli(args, { env })
    expect(result.code).toBe(code)
    expect(result).toEqual(await runInside(args, { env }))
  })

  test('with its threads', async () => {
    const args = ['generate', 'Once upon a time', '--max-tokens', '8', '--threads', '2', '--quiet']
    expect(await runCli(args)).toEqual(await runInside(args))
  })
})

describe('a process whose pipe is closed', () => {
  test('generates, ends with 0 and has no error', async () => {
    const args = ['generate', 'Once upon a time', '--max-tokens', '240', '--quiet']
    const { code, stderr } = await runCli(args, { closeOutput: true })
    expect([code, stderr]).toEqual([0, ''])
  })

  test('still writes the report of perplexity', async () => {
    const [text, output] = [join(folder, 'text'), join(folder, 'report')]
    writeFileSync(text, someText)
    const args = ['perplexity', '--text', text, '--by', 'stream', '-o', output]
    const { code, stderr } = await runCli(args, { closeOutput: true })
    expect([code, stderr]).toEqual([0, ''])
    expect(existsSync(output)).toBe(true)
    expect(JSON.parse(readFileSync(output, 'utf8'))).toMatchObject({ complete: true })
  })
})

describe('a process that is killed while it writes', () => {
  test('convert: the next one removes its partial output', async () => {
    const place = join(folder, 'convert')
    mkdirSync(place)
    // An empty one only tries whether the place can be written.
    const begun = (): boolean =>
      readdirSync(place)
        .filter((name) => name.endsWith('.tmp'))
        .map((name) => statSync(join(place, name), { throwIfNoEntry: false }))
        .some((one) => one?.isDirectory() || (one?.size ?? 0) > 0)
    // Half a gigabyte, so that the process is killed before the file is complete.
    const from = largeCheckpoint(place, 2 ** 29)
    await runCli(['convert', from, join(place, 'to')], { killWhen: begun })
    expect(begun()).toBe(true)
    writeFileSync(join(place, 'mine.tmp'), '')
    const result = await runInside(['convert', `${tinyFolder}/model.safetensors`, join(place, 'to')])
    expect(result.code).toBe(0)
    expect(readdirSync(place)).toEqual(['large.safetensors', 'mine.tmp', 'to'])
  })

  test('calibrate: every complete example is kept, and the next run ends with the same bytes', async () => {
    const text = join(folder, 'page.txt')
    writeFileSync(text, 'The captain looked at his old ship and the sea. '.repeat(90))
    const examples = 24
    const sizes = ['--limit', `${examples}`, '--prompt', '8', '--continuation', '4', '--keep-sequence']
    const argsTo = (output: string): string[] => ['calibrate', '--output', output, '--text', text, ...sizes]
    const [whole, parts] = [join(folder, 'whole'), join(folder, 'parts')]
    expect((await runInside(argsTo(whole))).code).toBe(0)
    const least = new Random(runSeed()).below(8)
    const single = (): number =>
      existsSync(parts)
        ? readdirSync(parts).filter((name) => /^example-\d+\.safetensors$/.test(name)).length
        : 0
    await runCli(argsTo(parts), { killWhen: () => single() > least })
    const kept = readdirSync(parts).includes('part-00000.safetensors') ? examples : single()
    expect(kept).toBeGreaterThan(least)
    const again = await runInside([...argsTo(parts), '--json'])
    expect(JSON.parse(again.stdout)).toMatchObject({ kept, computed: examples - kept, damaged: [] })
    expect(filesOf(parts)).toEqual(filesOf(whole))
  })

  test(
    'pretrain: after any step and resumed, it ends with the same files',
    { timeout: 300_000 },
    async () => {
      const place = join(folder, 'pretrain')
      mkdirSync(place)
      const { args, lastingOf } = makeSmallPretraining(place)
      const often = ['--evaluate-every', '4', '--save-every', '1']
      expect(await runInside(args('whole', often))).toMatchObject({ code: 0, stderr: '' })
      const random = new Random(runSeed())
      const state = join(place, 'killed', 'training.safetensors')
      const lines = (): number =>
        existsSync(state) ? readFileSync(join(place, 'killed', 'loss.jsonl'), 'utf8').split('\n').length : 0
      let wasKilled = false
      for (let attempt = 0; !wasKilled && attempt < 8; attempt++) {
        // The process ended before it was killed: once more from the start.
        rmSync(join(place, 'killed'), { recursive: true, force: true })
        const when = 1 + random.below(8)
        wasKilled = (await runCli(args('killed', often), { killWhen: () => lines() >= when })).code === null
      }
      expect(wasKilled).toBe(true)
      expect(await runInside(args('killed', [...often, '--resume']))).toMatchObject({ code: 0, stderr: '' })
      expect(lastingOf('killed')).toEqual(lastingOf('whole'))
    },
  )
})

describe('a process that goes on with the session of another', () => {
  const [model, other] = ['chat-model', 'other-model'].map((name) => join(folder, name))
  beforeAll(async () => {
    await writeChatModel(model)
    await writeChatModel(other, { seed: 4 })
  })
  const sessionAt = (name: string): string => join(folder, `${name}.session`)

  /** The tokens of a text that one process after the other goes on with, and the file at its end. */
  async function writtenBy(name: string, options: readonly string[], lengths: readonly number[]) {
    const tokens: number[] = []
    for (const [i, length] of lengths.entries()) {
      const prompt = i === 0 ? 'Once upon a time' : ''
      const args = ['generate', prompt, '-m', model, '--json', '--session', sessionAt(name), ...options]
      const { code, stdout, stderr } = await runCli([...args, '--max-tokens', `${length}`])
      expect([code, stderr]).toEqual([0, ''])
      tokens.push(...(JSON.parse(stdout) as { tokens: number[] }).tokens)
    }
    return { tokens, file: sha256(readFileSync(sessionAt(name))) }
  }

  test.each([
    ['drawn', ['--temperature', '1.2', '--seed', '7']],
    ['decided', ['--temperature', '1.2', '--planner', 'griffin', '--sparsity', '0.5', '--cache', 'int8']],
    ['often', ['--planner', 'random', '--sparsity', '0.4', '--every', '3']],
  ])('writes the same tokens and the same file as one process does: %s', async (name, options) => {
    const whole = await writtenBy(`${name}-whole`, options, [20])
    expect(whole.tokens.length).toBe(20)
    expect(await writtenBy(`${name}-parts`, options, [9, 11])).toEqual(whole)
  })

  test('answers a chat from its messages, and writes the same file as one process does', async () => {
    const [whole, parts] = ['chat-whole', 'chat-parts'].map(sessionAt)
    const sizes = ['-m', model, '--max-tokens', '5', '--session']
    const input = ['once', 'and then']
    expect(await runInside(['chat', ...sizes, whole], { input })).toMatchObject({ code: 0 })
    for (const message of input)
      expect(await runCli(['generate', '--chat', message, ...sizes, parts])).toMatchObject({ code: 0 })
    expect(readFileSync(parts).equals(readFileSync(whole))).toBe(true)
  })

  test('refuses a damaged file, and the file of another model or of other settings, in one line, and leaves it', async () => {
    const path = sessionAt('refused')
    await writtenBy('refused', [], [4])
    const good = readFileSync(path)
    const flipped = Buffer.from(good)
    flipped[flipped.indexOf('tokens')] ^= 1
    const refusals = [
      [3, 'SAFETENSORS_\\w+', good.subarray(0, good.length - 5), model, []],
      [3, 'SESSION', flipped, model, []],
      [3, 'SESSION', Buffer.from('no session'), model, []],
      [3, 'SESSION_MODEL', good, other, []],
      [2, 'SESSION', good, model, ['--cache', 'int8']],
    ] as const
    for (const [code, word, bytes, from, options] of refusals) {
      writeFileSync(path, bytes)
      const result = await runCli(['generate', 'a', '-m', from, '--session', path, ...options])
      expect(result).toEqual({
        code,
        stdout: '',
        stderr: expect.stringMatching(new RegExp(`^shadowllm: [^\\n]* \\[${word}\\]\\n$`)) as string,
      })
      expect(readFileSync(path).equals(bytes)).toBe(true)
    }
  })
})

describe('processes that download a model of the hub', () => {
  let hub: MockHub
  beforeAll(async () => {
    hub = await startHub()
  })
  afterAll(() => hub.stop())

  test('both succeed if there are two at the same time', async () => {
    const { cache, env } = surroundings(hub.endpoint)
    const args = ['generate', 'Once upon', '--max-tokens', '8', '--quiet', '-m', hub.id]
    const both = await Promise.all([runCli(args, { env }), runCli(args, { env })])
    expect(both[0]).toMatchObject({ code: 0, stderr: '' })
    expect(both[1]).toEqual(both[0])
    const blobs = readdirSync(join(cache, 'models--someone--tiny/blobs'))
    expect(blobs.toSorted()).toEqual(blobs.filter((name) => /^[0-9a-f]{40,64}$/.test(name)).toSorted())
    // Configurations of the model and of generation, two files of the tokenizer, weights.
    expect(blobs).toHaveLength(5)
  })

  test('leave a partial file if they are killed, from which the next one goes on', async () => {
    const { cache, env } = surroundings(hub.endpoint)
    const blobs = join(cache, 'models--someone--tiny/blobs')
    const content = repository.get('pytorch_model.bin') as Buffer
    const half = content.length >> 1
    hub.misbehave = ({ at, range, response }) => {
      if (at !== 'store' || range !== undefined) return false
      response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, half))
      return true
    }
    onTestFinished(() => {
      hub.misbehave = () => false
    })
    const partial = (): string | undefined =>
      existsSync(blobs) ? readdirSync(blobs).find((name) => name.includes('.partial')) : undefined
    const isHalf = (): boolean => {
      const name = partial()
      // The file may have been renamed meanwhile.
      return name !== undefined && statSync(join(blobs, name), { throwIfNoEntry: false })?.size === half
    }
    const args = ['generate', 'a', '--max-tokens', '2', '-m', hub.id]
    expect(await runCli(args, { env, killWhen: isHalf })).toEqual({ code: null, stdout: '', stderr: '' })
    expect(partial()).toMatch(/^[0-9a-f]{64}\.partial\.\d+-.*\.tmp$/)
    const before = hub.asked.length
    expect((await runInside(args, { env })).code).toBe(0)
    const ranges = hub.asked
      .slice(before)
      .filter(({ at }) => at === 'store')
      .map(({ range }) => range)
    expect(ranges).toEqual([`bytes=${half}-`])
    expect(sha256(readFileSync(join(blobs, sha256(content))))).toBe(sha256(content))
    expect(partial()).toBe(undefined)
  })
})
