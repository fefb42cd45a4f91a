/**
 * The settings of the hub, from the environment variables of Python's huggingface_hub: address, cache folder, token and offline
 * mode.
 */
import { cacheFolder, environment, fileKind, homeFolder, joinPath, runtime } from '../../platform/platform.ts'
import { UsageError } from '../../tensor/errors.ts'
import { readWhole } from '../files.ts'
import { quote } from '../refusal.ts'

/** The settings of the hub. */
export interface HubSettings {
  /** Its URL: host and path only. */
  readonly endpoint: URL
  /** The cache folder, shared with Python. */
  readonly cache: string
  /** The access token; null for none. */
  readonly token: string | null
  /** Offline mode: use the cache only. */
  readonly offline: boolean
  /** Waits for this many milliseconds. @throws the signal's reason */
  readonly wait: (milliseconds: number, signal: AbortSignal | undefined) => Promise<void>
  /** The current time in milliseconds since 1970. A `retry-after` header may be a date. */
  readonly now: () => number
  /** Milliseconds without a byte after which a connection counts as dropped. */
  readonly stallAfter: number
}

const DEFAULT_ENDPOINT = 'https://huggingface.co'
/** The maximal length of a token. */
const MAX_TOKEN_LENGTH = 4096

/**
 * Reads HF_ENDPOINT, HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, HF_HUB_OFFLINE, HF_TOKEN, HF_TOKEN_PATH and
 * HF_HUB_DISABLE_IMPLICIT_TOKEN.
 * @throws UsageError HUB_ENDPOINT, HUB_TOKEN; InputError FILE_* for a token file that cannot be read
 */
export async function readHubSettings(): Promise<HubSettings> {
  const common = { wait, now: Date.now, stallAfter: 60_000 }
  // A page has neither an environment nor a disk.
  if (runtime.name === 'browser')
    return { endpoint: new URL(DEFAULT_ENDPOINT), cache: '', token: null, offline: false, ...common }
  const home = folderFrom('HF_HOME') ?? joinPath(cacheFolder(), 'huggingface')
  const offline = isTrue('HF_HUB_OFFLINE')
  return {
    endpoint: readEndpoint(variable('HF_ENDPOINT') ?? DEFAULT_ENDPOINT),
    cache: folderFrom('HF_HUB_CACHE') ?? joinPath(home, 'hub'),
    token: offline ? null : await readToken(folderFrom('HF_TOKEN_PATH') ?? joinPath(home, 'token')),
    offline,
    ...common,
  }
}

/** An empty variable counts as unset. */
function variable(name: string): string | undefined {
  return environment(name)?.trim() || undefined
}

function isTrue(name: string): boolean {
  return /^(?:1|on|yes|true)$/i.test(variable(name) ?? '')
}

/** A path, with "~" for the home folder. */
function folderFrom(name: string): string | undefined {
  const path = variable(name)
  return path !== undefined && /^~(?:[\\/]|$)/.test(path) ? joinPath(homeFolder(), path.slice(1)) : path
}

function readEndpoint(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  const plain = url !== null && url.username === '' && url.password === '' && url.search + url.hash === ''
  if (plain && /^https?:$/.test(url.protocol)) return url
  throw new UsageError(
    'HUB_ENDPOINT',
    `HF_ENDPOINT: expected an address such as ${DEFAULT_ENDPOINT}, got ${quote(text)}`,
  )
}

async function readToken(path: string): Promise<string | null> {
  const named = variable('HF_TOKEN')
  if (named === undefined && (isTrue('HF_HUB_DISABLE_IMPLICIT_TOKEN') || (await fileKind(path)) !== 'file'))
    return null
  const token = named ?? new TextDecoder().decode(await readWhole(path, MAX_TOKEN_LENGTH)).trim()
  if (token === '') return null
  // A line break would inject a header. The message does not show the token.
  if (/^[\x21-\x7e]+$/.test(token)) return token
  throw new UsageError(
    'HUB_TOKEN',
    `${named === undefined ? path : 'HF_TOKEN'}: expected a token, got text with spaces or control characters`,
  )
}

async function wait(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted()
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, milliseconds)
    signal?.addEventListener('abort', end)
  })
  signal?.throwIfAborted()
}
