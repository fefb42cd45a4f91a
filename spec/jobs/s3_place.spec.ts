/**
 * What a bucket's service may answer, by a service of our own that checks each signature: src/jobs/s3_place.ts.
 * s3.full.spec.ts has a real one.
 */
import { createHash, createHmac } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { s3Place } from '../../src/jobs/s3_place.ts'

const SECRET = 'a secret'
const address = { bucket: 'bucket', prefix: 'some/' }
const bytes = Uint8Array.of(1, 2, 3)

/** A request, and how it is answered. */
type Answer = (request: IncomingMessage, response: ServerResponse) => void

let server: Server
let objects: Map<string, Buffer>
/** Answers to the next requests, in place of right ones. */
let next: Answer[]
let asked: string[]

const refuse =
  (status: number, text = '', headers: Record<string, string> = {}): Answer =>
  (_, response) =>
    void response.writeHead(status, headers).end(text)
const refuseAs = (status: number, code: string, message = 'a reason'): Answer =>
  refuse(status, `<?xml version="1.0"?>\n<Error><Code>${code}</Code><Message>${message}</Message></Error>`)
const hangUp: Answer = (request) => void request.socket.destroy()
const cutShort: Answer = (_, response) => {
  response.writeHead(200, { 'content-length': '100' })
  response.write('half')
  setTimeout(() => response.destroy(), 10)
}

/** Signature version 4 of a request, by the manual of AWS. */
function signatureOf({ method = '', url = '', headers }: IncomingMessage): string {
  const text = (name: string): string => String(headers[name])
  const [, scope = '', signed = ''] =
    /Credential=key\/([^,]+), SignedHeaders=([^,]+),/.exec(text('authorization')) ?? []
  const fields = signed.split(';').map((name) => `${name}:${text(name)}\n`)
  const hash = (of: string): string => createHash('sha256').update(of).digest('hex')
  const request = [method, url, '', fields.join(''), signed, text('x-amz-content-sha256')].join('\n')
  const whole = ['AWS4-HMAC-SHA256', text('x-amz-date'), scope, hash(request)].join('\n')
  const keyed = (key: string | Buffer, of: string): Buffer => createHmac('sha256', key).update(of).digest()
  return keyed(scope.split('/').reduce<string | Buffer>(keyed, `AWS4${SECRET}`), whole).toString('hex')
}

/** As S3 answers. */
function answer(request: IncomingMessage, body: Buffer, response: ServerResponse): void {
  const { method, url = '', headers } = request
  const isSigned = String(headers.authorization).endsWith(`Signature=${signatureOf(request)}`)
  const isHashed = createHash('sha256').update(body).digest('hex') === headers['x-amz-content-sha256']
  const [, bucket, key] = /^\/([^/]+)\/(.*)$/.exec(url) ?? []
  const isInSession = headers['x-amz-security-token'] === process.env.AWS_SESSION_TOKEN
  if (!isSigned || !isHashed || !isInSession) refuseAs(403, 'SignatureDoesNotMatch')(request, response)
  else if (bucket !== 'bucket') refuseAs(404, 'NoSuchBucket')(request, response)
  else if (method === 'PUT' && headers['if-none-match'] === '*' && objects.has(key))
    refuseAs(412, 'PreconditionFailed')(request, response)
  else if (method === 'PUT') response.end(void objects.set(key, body))
  else if (method === 'DELETE') response.writeHead(204).end(void objects.delete(key))
  else if (key === '' || objects.has(key)) response.end(objects.get(key))
  else refuseAs(404, 'NoSuchKey')(request, response)
}

beforeEach(async () => {
  objects = new Map()
  next = []
  asked = []
  server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      asked.push(`${request.method} ${request.url} ${request.headers['if-none-match'] ?? ''}`.trim())
      const other = next.shift()
      if (other) other(request, response)
      else answer(request, Buffer.concat(parts), response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  vi.stubEnv('AWS_ENDPOINT_URL', `http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'key')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', SECRET)
  vi.stubEnv('AWS_SESSION_TOKEN', undefined)
  vi.stubEnv('AWS_REGION', 'eu-west-3')
})
afterEach(async () => {
  vi.unstubAllEnvs()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

/** The line with which a call is refused. */
async function lineOf(action: () => Promise<unknown>): Promise<string> {
  const error = await action().then(
    () => new Error('nothing'),
    (reason: Error) => reason,
  )
  expect(error).toMatchObject({ code: 'SHARD_STORE', exitCode: 5 })
  expect(error.message).toMatch(/^s3:\/\/bucket\/some\/: expected \P{Cc}{1,600}$/u)
  return error.message
}

describe('requests', () => {
  test('are signed, also those with bytes, a condition or a session', async () => {
    vi.stubEnv('AWS_SESSION_TOKEN', 'a session')
    const place = await s3Place(address)
    expect(await place.has('a')).toBe(false)
    expect(await place.read('a')).toBe(null)
    await place.write('a', bytes)
    expect(await place.has('a')).toBe(true)
    expect(await place.read('a')).toEqual(bytes)
    await place.remove('a')
    await place.remove('a')
    expect(await place.has('a')).toBe(false)
    expect([...objects]).toEqual([])
    expect(new Set(asked)).toEqual(
      new Set([
        'HEAD /bucket/',
        'HEAD /bucket/some/a',
        'GET /bucket/some/a',
        'PUT /bucket/some/a *',
        'DELETE /bucket/some/a',
      ]),
    )
  })

  test('with another secret are refused by the service', async () => {
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'another')
    expect(await lineOf(() => s3Place(address))).toContain('got status 403: ')
  })

  test('are not sent without both keys', async () => {
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) {
      vi.stubEnv(name, '')
      expect(await lineOf(() => s3Place(address))).toContain('AWS_SECRET_ACCESS_KEY in the environment, got')
    }
    expect(asked).toEqual([])
  })

  test('go to the endpoint of S3 before that of all services', async () => {
    vi.stubEnv('AWS_ENDPOINT_URL_S3', process.env.AWS_ENDPOINT_URL)
    vi.stubEnv('AWS_ENDPOINT_URL', 'http://127.0.0.1:1')
    expect((await s3Place(address)).name).toBe('s3://bucket/some/')
  })
})

describe('a write', () => {
  test('keeps what is there, and what another client is writing', async () => {
    const place = await s3Place(address)
    await place.write('a', bytes)
    await place.write('a', Uint8Array.of(4))
    expect(await place.read('a')).toEqual(bytes)
    next = [refuseAs(409, 'ConditionalRequestConflict')]
    await place.write('b', bytes)
    expect(await place.has('b')).toBe(false)
    next = [refuseAs(409, 'OperationAborted')]
    expect(await lineOf(() => place.write('b', bytes))).toContain('got OperationAborted: a reason')
  })

  test('is made without a condition, at once, where a service has none', async () => {
    const place = await s3Place(address)
    asked = []
    next = [refuseAs(501, 'NotImplemented')]
    await place.write('a', bytes)
    expect(await place.read('a')).toEqual(bytes)
    expect(asked).toEqual(['PUT /bucket/some/a *', 'PUT /bucket/some/a', 'GET /bucket/some/a'])
  })
})

describe('a request is sent again', () => {
  test.each([
    ['while the service is busy', [refuseAs(503, 'SlowDown'), refuse(500), refuse(429)]],
    ['after a connection that broke', [hangUp, hangUp]],
    ['after an object that was cut short', [cutShort]],
  ])('%s', async (_, faults) => {
    const place = await s3Place(address)
    await place.write('a', bytes)
    next = [...faults]
    expect(await place.read('a')).toEqual(bytes)
    expect(next).toEqual([])
  })

  test('five times at most', async () => {
    const place = await s3Place(address)
    for (const [fault, words] of [
      [refuseAs(503, 'SlowDown'), 'got SlowDown: a reason'],
      [hangUp, 'expected a bucket to use, got '],
    ] as const) {
      asked = []
      next = Array.from({ length: 5 }, () => fault)
      expect(await lineOf(() => place.read('a'))).toContain(words)
      expect(asked).toHaveLength(5)
    }
  })

  test('but not after a refusal', async () => {
    const place = await s3Place(address)
    asked = []
    next = [refuseAs(403, 'AccessDenied')]
    expect(await lineOf(() => place.read('a'))).toContain('got AccessDenied: a reason')
    expect(asked).toHaveLength(1)
  })
})

describe('a refusal is one line', () => {
  test.each([
    ['without words', refuse(400), 'got status 400: Bad Request'],
    ['in another form', refuse(400, '{"code":"no"}'), 'got status 400: Bad Request'],
    ['with control characters', refuseAs(400, 'Odd', 'a\n\x1b[31mb'), 'got Odd: a [31mb'],
    [
      'without an end',
      refuse(400, `<Code>Long</Code><Message>${'x'.repeat(1e6)}`),
      `Long: ${'x'.repeat(300)}`,
    ],
    ['whose code is no word', refuseAs(400, '<b>&'), 'got status 400: a reason'],
    ['that comes too late', refuse(400, `${' '.repeat(5000)}<Code>Late</Code>`), 'got status 400: Bad'],
    ['of a bucket that is gone', refuseAs(404, 'NoSuchBucket'), 'got NoSuchBucket: a reason'],
  ])('%s', async (_, fault, words) => {
    const place = await s3Place(address)
    next = [fault]
    expect(await lineOf(() => place.read('a'))).toContain(words)
  })

  test('that names the region of the bucket, and follows no redirect', async () => {
    const headers = { 'x-amz-bucket-region': 'eu-north-1', location: '/bucket/some/b' }
    next = [refuse(301, '', headers)]
    expect(await lineOf(() => s3Place(address))).toContain('the bucket is in AWS_REGION=eu-north-1')
    expect(asked).toEqual(['HEAD /bucket/'])
  })
})

test('without an endpoint requests go to the host of the bucket, or by its name to that of the region', async () => {
  vi.stubEnv('AWS_ENDPOINT_URL', '')
  const urls: string[] = []
  vi.stubGlobal('fetch', async ({ url }: Request) => {
    urls.push(url)
    return new Response()
  })
  try {
    await s3Place(address)
    await s3Place({ ...address, bucket: 'my.bucket' })
    vi.stubEnv('AWS_REGION', 'cn-north-1')
    await s3Place(address)
    vi.stubEnv('AWS_REGION', '')
    await s3Place(address)
  } finally {
    vi.unstubAllGlobals()
  }
  expect(urls).toEqual([
    'https://bucket.s3.eu-west-3.amazonaws.com/',
    'https://s3.eu-west-3.amazonaws.com/my.bucket/',
    'https://bucket.s3.cn-north-1.amazonaws.com.cn/',
    'https://bucket.s3.us-east-1.amazonaws.com/',
  ])
})
