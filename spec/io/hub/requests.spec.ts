/**
 * What the hub answers: the token is seen by it alone, facts about a model come from it alone, and what is not the file
 * that was asked for is refused by name.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import {
  codeOf,
  content,
  errorOf,
  hubCase,
  misbehaving,
  noise,
  stateHubLaw,
  weights,
  type HubCase,
  type HubLaw,
} from './hub_cases.ts'
import type { Exchange, Misbehaviour } from '../mock_hub.ts'

// ---- The laws ---------------------------------------------------------------------------------------------------

const tokenStaysAtTheHub: HubLaw = async (open) => {
  const one = await hubCase()
  await open(one.hub.id, {}, one.settings)
  const seen = (at: string): unknown[] => [
    ...new Set(one.hub.asked.filter((asked) => asked.at === at).map(({ authorization }) => authorization)),
  ]
  expect(seen('hub')).toEqual(['Bearer hf_secret'])
  expect(seen('store')).toEqual([undefined])
}

/** Answers that are refused: for which file, with which code, and what is answered. */
interface Refused {
  readonly file: string
  readonly code: string
  readonly answer: (exchange: Exchange, one: HubCase) => void
}

const refused: Readonly<Record<string, Refused>> = {
  'a web page instead of weights': {
    file: weights,
    code: 'HUB_ANSWER',
    answer: ({ send }) => send(200, { 'content-type': 'text/html; charset=utf-8' }, '<html>log in</html>'),
  },
  'a web page instead of the configuration': {
    file: 'config.json',
    code: 'HUB_ANSWER',
    answer: ({ send }) => send(200, { 'content-type': 'text/html' }, '<html>'),
  },
  'other bytes of the same length': {
    file: weights,
    code: 'HUB_HASH',
    answer: ({ send }) => send(200, {}, noise(content.length, 'other')),
  },
  'another small file of the same length': {
    file: 'config.json',
    code: 'HUB_HASH',
    answer: ({ send }) => send(200, {}, '{"model_type":"OPT"}'),
  },
  'a length that is too large': {
    file: weights,
    code: 'HUB_SIZE',
    answer: ({ send }) =>
      send(200, { 'content-length': content.length + 1 }, Buffer.concat([content, Buffer.of(1)])),
  },
  'a length that is too small': {
    file: weights,
    code: 'HUB_SIZE',
    answer: ({ send }) => send(200, { 'content-length': 10 }, content.subarray(0, 10)),
  },
  'more bytes than the file has, without a length': {
    file: weights,
    code: 'HUB_SIZE',
    answer: ({ response }) => void (response.write(content), response.end('more')),
  },
  'an etag other than that of the list': {
    file: 'config.json',
    code: 'HUB_HASH',
    answer: ({ send, body }) => send(200, { 'x-linked-etag': `W/"${'b'.repeat(40)}"` }, body),
  },
  'a redirect to a file of this machine': {
    file: 'config.json',
    code: 'HUB_REDIRECT',
    answer: ({ send }) => send(302, { location: 'file:///etc/passwd' }),
  },
  'a redirect with a password in it': {
    file: 'config.json',
    code: 'HUB_REDIRECT',
    answer: ({ send }, { hub }) => send(302, { location: hub.store.replace('//', '//me:secret@') }),
  },
  'a redirect to nowhere': { file: 'config.json', code: 'HUB_REDIRECT', answer: ({ send }) => send(302, {}) },
  'endless redirects': {
    file: 'config.json',
    code: 'HUB_REDIRECT',
    answer: ({ send, path }) => send(307, { location: path }),
  },
  'no such file': { file: weights, code: 'HUB_NOT_FOUND', answer: ({ send }) => send(404, {}) },
  'a gate': {
    file: weights,
    code: 'HUB_ACCESS',
    answer: ({ send }) => send(403, { 'x-error-code': 'GatedRepo' }),
  },
  'a status of its own': { file: weights, code: 'HUB_STATUS', answer: ({ send }) => send(418, {}) },
}

const badAnswersAreRefused: HubLaw = async (open) => {
  for (const [what, { file, code, answer }] of Object.entries(refused)) {
    const one = await hubCase()
    one.hub.misbehave = misbehaving(file, (exchange) => {
      answer(exchange, one)
      return true
    })
    const error = await errorOf(() => open(one.hub.id, {}, one.settings))
    expect([what, error.code, error.exitCode]).toEqual([what, code, 5])
    expect(error.message).toMatch(/^[^\n]+: expected [^\n]+$/)
    expect(error.message).not.toContain('hf_secret')
    // Nothing wrong is to be found under the name of something right.
    for (const blob of readdirSync(join(one.folder, 'blobs')).filter((found) =>
      /^[0-9a-f]{40,}$/.test(found),
    ))
      expect([...one.hub.files.values()].map((bytes) => bytes.toString('hex'))).toContain(
        readFileSync(join(one.folder, 'blobs', blob)).toString('hex'),
      )
    await one.hub.stop()
  }
}

const factsComeFromTheHub: HubLaw = async (open) => {
  const answers: [string, Misbehaviour][] = [
    ['HUB_REDIRECT', ({ send, path }) => (send(307, { location: `${elsewhere.hub.endpoint}${path}` }), true)],
    ['HUB_ANSWER', ({ send }) => (send(200, { 'content-type': 'text/html' }, '<html>'), true)],
    ['HUB_ANSWER', ({ send }) => (send(200, { 'content-type': 'application/json' }, '{"sha":'), true)],
    ['HUB_ANSWER', ({ send }) => (send(200, { 'content-type': 'application/json' }, 'null'), true)],
    ['HUB_ANSWER', ({ send }) => (send(200, { 'content-type': 'application/json' }, '{"sha":"../x"}'), true)],
    ['HUB_ACCESS', ({ send }) => (send(401, { 'x-error-code': 'RepoNotFound' }), true)],
  ]
  const elsewhere = await hubCase()
  for (const [code, answer] of answers) {
    const one = await hubCase()
    one.hub.misbehave = (exchange) => exchange.path.includes('/revision/') && answer(exchange)
    expect(await codeOf(() => open(one.hub.id, {}, one.settings))).toBe(code)
    expect(elsewhere.hub.asked).toEqual([])
    await one.hub.stop()
  }
}

const listsAreJudged: HubLaw = async (open) => {
  const lists: unknown[] = [
    null,
    [{ type: 'file', path: 'config.json', size: 2, oid: 'x' }],
    [{ type: 'file', path: 'config.json', size: -2, oid: 'a'.repeat(40) }],
    [{ type: 'file', path: 'config.json', size: 2, oid: 'a'.repeat(40), lfs: { oid: '../../x', size: 2 } }],
    [{ type: 'file', path: 3, size: 2, oid: 'a'.repeat(40) }],
  ]
  for (const list of lists) {
    const one = await hubCase()
    one.hub.misbehave = ({ path, send }) => {
      if (!path.includes('/tree/')) return false
      send(200, { 'content-type': 'application/json' }, JSON.stringify(list))
      return true
    }
    expect(await codeOf(() => open(one.hub.id, {}, one.settings))).toBe('HUB_ANSWER')
    await one.hub.stop()
  }
}

/** The next page of a list is the hub's too, wherever a header says it is. */
const pagesAreTheHubs: HubLaw = async (open) => {
  const [one, elsewhere] = [await hubCase(), await hubCase()]
  one.hub.misbehave = ({ path, send }) => {
    if (!path.includes('/tree/')) return false
    const link = `<${elsewhere.hub.endpoint}${path}>; rel="next"`
    send(200, { 'content-type': 'application/json', link }, '[]')
    return true
  }
  expect(await codeOf(() => open(one.hub.id, {}, one.settings))).toBe('HUB_REDIRECT')
  expect(elsewhere.hub.asked).toEqual([])
}

// ---- What they judge --------------------------------------------------------------------------------------------

stateHubLaw('the token is sent to the hub only', tokenStaysAtTheHub, {
  'the token for everyone': ['hub/requests.ts', 'atHub && token', 'token'],
  'another port is the same hub': [
    'hub/requests.ts',
    'href.startsWith(`${this.base}/`)',
    'href.startsWith(this.base.slice(0, 16))',
  ],
})

stateHubLaw('an answer that is not the file is refused by name, and not kept', badAnswersAreRefused, {
  'any redirect': ['hub/requests.ts', "to.username === '' && to.password === ''", 'true'],
  'no look at the type': ['hub/download.ts', '/^text\\/html\\b/i.test', '/^never$/.test'],
  'no look at the hash': ['hub/download.ts', 'if (again !== download.file.hash) {', 'if (again === null) {'],
  'no look at the length': ['hub/download.ts', 'Number(length) !== rest', 'false'],
  'no look at the end': ['hub/download.ts', 'this.#done + piece.length > file.size', 'false'],
  'no look at the etag': ['hub/download.ts', 'etag !== null && etag !== file.hash', 'false'],
})

stateHubLaw('facts about a model come from the hub only', factsComeFromTheHub, {
  'facts from anywhere': [
    'hub/requests.ts',
    'request.hubOnly && !atHub',
    'request.hubOnly && atHub && !atHub',
  ],
  'any commit': ['hub/listing.ts', "typeof sha !== 'string' || !isCommit(sha)", 'false'],
})

stateHubLaw('a list of files with invalid values is refused', listsAreJudged, {
  'any hash': ['hub/listing.ts', '.test(hash) &&', '.test(hash) !== null &&'],
})

stateHubLaw('the next page of a list is requested from the hub only', pagesAreTheHubs, {
  'pages from anywhere': [
    'hub/requests.ts',
    'request.hubOnly && !atHub',
    'request.hubOnly && atHub && !atHub',
  ],
})
