/**
 * Serves a folder on this machine, as any web server would: with or without the headers that let a page's threads share
 * memory; text and code are compressed, and the length of what comes is told.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { readFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize } from 'node:path'
import { gzipSync } from 'node:zlib'
import { isolation } from '../../scripts/vite_page.ts'

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml',
}

/** Images and weights are compressed already. */
const isCompressible = (type: string): boolean => /^text|javascript|json|wasm|svg/.test(type)

/** A server that runs. */
export interface StaticServer {
  readonly url: string
  close(): Promise<void>
}

/** Starts one on a free port. @param isolated whether it sends COOP and COEP */
export async function serveFolder(folder: string, isolated: boolean): Promise<StaticServer> {
  const server = createServer((request, response) => void answer(request, response))
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { url = '/' } = request
    const path = normalize(decodeURIComponent(new URL(url, 'http://localhost').pathname))
    const name = path.endsWith('/') ? `${path}index.html` : path
    const bytes = await readFile(join(folder, name)).catch(() => null)
    if (bytes === null) return void response.writeHead(404).end()
    const type = types[extname(name)] ?? 'application/octet-stream'
    const isCompressed = isCompressible(type) && request.headers['accept-encoding']?.includes('gzip')
    const content = isCompressed ? gzipSync(bytes) : bytes
    const headers = {
      'content-type': type,
      'content-length': content.length,
      ...(isCompressed && { 'content-encoding': 'gzip' }),
      ...(isolated && isolation),
    }
    response.writeHead(200, headers).end(content)
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
