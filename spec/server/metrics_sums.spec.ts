/**
 * The counters of `/metrics` are sums over the answers: of their usage, of their choices and of what these skipped, whatever is asked.
 *
 * Tests src/server/metrics.ts, src/server/text_service.ts and src/server/writer.ts.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, test } from 'vitest'
import { ShadowModel } from '../../src/library/index.ts'
import { writeChatModel } from '../library/chat_model.ts'
import { sameData } from '../harness/recorded.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { casesAtTier } from '../harness/tier.ts'
import { eventsOf, requestOf, serverOf, type AnsweredChoice, type Completion } from './served.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-metrics-'))
afterAll(() => rmSync(folder, { recursive: true }))
await writeChatModel(join(folder, 'model'))
const opt = await ShadowModel.fromPretrained(join(folder, 'model'), { backend: 'reference' })
afterAll(() => opt.dispose())
const server = serverOf(opt)
afterAll(() => server.drain())

/** Fields of a request, each with its neutral value too. Those that are not known to both paths are left out of chats. */
const anyRequest = fc.record({
  path: fc.constantFrom('/v1/completions', '/v1/completions', '/v1/chat/completions'),
  text: fc.constantFrom('a', 'abc def', 'the captain looked'),
  max_tokens: fc.nat({ max: 5 }),
  n: fc.constantFrom(undefined, 1, 3),
  stream: fc.boolean(),
  temperature: fc.constantFrom(undefined, 0, 1),
  echo: fc.boolean(),
  logprobs: fc.constantFrom(undefined, 0, 2),
  planning: fc.constantFrom(
    {},
    { planner: 'random', sparsity: 0.5 },
    { planner: 'griffin', check: 2 },
    { planner: 'random', every: 2 },
    { planner: 'cats' },
    { planner: 'griffin', every: 2 },
  ),
  stop: fc.constantFrom(undefined, ['e'], ['a', 'b', 'c', 'd']),
})
type Asked = typeof anyRequest extends fc.Arbitrary<infer T> ? T : never

function bodyOf({ path, text, echo, logprobs, planning, ...rest }: Asked): Record<string, unknown> {
  const common = {
    ...rest,
    ...planning,
    seed: 5,
    ...(rest.stream && { stream_options: { include_usage: true } }),
  }
  if (path === '/v1/completions') return { ...common, prompt: text, echo, logprobs }
  return { ...common, messages: [{ role: 'user', content: text }], logprobs: logprobs !== undefined }
}

/** What an answer says of itself. */
interface Told {
  readonly status: number
  readonly choices: readonly AnsweredChoice[]
  readonly usage: Completion['usage'] | null
}

/** Reads an answer, whole or as a stream. */
async function told(response: Response, stream: boolean): Promise<Told> {
  const { status } = response
  if (status !== 200) {
    await response.body?.cancel()
    return { status, choices: [], usage: null }
  }
  if (!stream) return { status, ...((await response.json()) as Completion) }
  const events = (await eventsOf(response)) as (Completion | null)[]
  return {
    status,
    choices: events.flatMap(
      (event) => event?.choices.filter(({ finish_reason }) => finish_reason !== null) ?? [],
    ),
    usage: events.findLast((event) => event?.usage)?.usage ?? null,
  }
}

/** The values of `/metrics` by name and labels. */
type Metrics = ReadonlyMap<string, number>

function parse(text: string): Metrics {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => [
      line.slice('shadowllm_'.length, line.lastIndexOf(' ')),
      Number(line.split(' ').at(-1)),
    ]),
  )
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)

/** How many texts are written for a request: greedy ones are equal, and written once, unless each has a mask of its own. */
function writtenOf({ temperature, planning, n = 1 }: Asked): number {
  return temperature === 0 && !('planner' in planning && planning.planner === 'random') ? 1 : n
}

/** What the counters must be after these answers. */
function expectedOf(asked: readonly Asked[], answers: readonly Told[]): Record<string, number> {
  const good = answers.flatMap((answer, i) =>
    answer.usage ? [{ ...answer, written: writtenOf(asked[i]) }] : [],
  )
  const requests: Record<string, number> = {}
  for (const [i, { status }] of answers.entries()) {
    const key = `requests_total{path="${asked[i].path}",status="${status}"}`
    requests[key] = (requests[key] ?? 0) + 1
  }
  const choices = good.flatMap((answer) => answer.choices)
  return {
    ...requests,
    // A prompt is read for each text that is written after it.
    prompt_tokens_total: sum(
      good.map(({ usage, written }) => (usage as Completion['usage']).prompt_tokens * written),
    ),
    generated_tokens_total: sum(
      good.map(
        ({ usage, choices: own, written }) =>
          ((usage as Completion['usage']).completion_tokens * written) / own.length,
      ),
    ),
    // Texts of one prompt after the first go on from it too, which their usage does not say.
    ...(good.every(({ written }) => written === 1) && {
      cached_tokens_total: sum(
        good.map(({ usage }) => (usage as Completion['usage']).prompt_tokens_details.cached_tokens),
      ),
    }),
    texts_total: choices.length,
    ...Object.fromEntries(
      (['heads', 'neurons', 'weights'] as const).map((of) => [
        `skipped_share_sum{of="${of}"}`,
        sum(choices.map(({ skipped }) => skipped[of])),
      ]),
    ),
    // A planner is refused when the request has its seat.
    'request_seconds_bucket{le="+Inf"}': answers.length,
    request_seconds_count: answers.length,
    active_requests: 0,
    queue_length: 0,
  }
}

const metricsOf = async (): Promise<Metrics> =>
  parse(await (await server.fetch(requestOf('/metrics'))).text())

type Read = (metrics: Metrics, asked: readonly Asked[]) => Metrics

const countersAreSums = lawForAll(
  'counters are the sums of what the answers say',
  { asked: fc.array(anyRequest, { minLength: 1, maxLength: 6, size: 'max' }) },
  async (read: Read, { asked }) => {
    const before = await metricsOf()
    const answers: Told[] = []
    for (const one of asked) {
      const answer = await told(await server.fetch(requestOf(one.path, bodyOf(one))), one.stream)
      answers.push(answer)
      const { usage } = answer
      if (usage) sameData('total_tokens', usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
    }
    const after = await metricsOf()
    const added = [...after].map(([name, value]) => [name, value - (before.get(name) ?? 0)] as const)
    const metrics = read(new Map(added), asked)
    for (const [name, expected] of Object.entries(expectedOf(asked, answers))) {
      const actual = metrics.get(name) ?? NaN
      if (!(Math.abs(actual - expected) < 1e-9))
        throw new Error(`${name}: expected ${expected}, got ${actual}`)
    }
    const counted = [...metrics]
      .filter(([name]) => name.startsWith('requests_total') && !name.includes('path="/metrics"'))
      .map(([, value]) => value)
    sameData('requests', sum(counted), asked.length)
  },
  { runs: casesAtTier(40, 200) },
)
stateLaw(countersAreSums, (metrics) => metrics)

test('counters that count an echo, a prompt once, or a refused request as a text: killed', async () => {
  const more =
    (name: string, of: (asked: Asked) => number): Read =>
    (metrics, asked) =>
      new Map([...metrics, [name, (metrics.get(name) ?? 0) + sum(asked.map(of))]])
  await kills(
    countersAreSums,
    more('generated_tokens_total', ({ echo, path }) => (echo && path === '/v1/completions' ? 1 : 0)),
  )
  await kills(
    countersAreSums,
    more('prompt_tokens_total', ({ n }) => ((n ?? 1) > 1 ? -1 : 0)),
  )
  await kills(
    countersAreSums,
    more('cached_tokens_total', () => 1),
  )
  await kills(
    countersAreSums,
    more('texts_total', ({ planning }) => ('every' in planning && planning.planner === 'griffin' ? 1 : 0)),
  )
  await kills(
    countersAreSums,
    more('skipped_share_sum{of="heads"}', ({ planning }) => ('every' in planning ? 0.1 : 0)),
  )
})
