/**
 * Whether the peers are there: packages of this folder, which are not installed with the project.
 */
import { exists } from '../../src/platform/platform.ts'
import { MissingError } from '../../src/tensor/errors.ts'

/** The folder of a peer. @throws MissingError PEERS_MISSING if it is not installed here */
export async function peerFolder(name: string): Promise<URL> {
  const folder = new URL(`node_modules/${name}/`, import.meta.url)
  if (await exists(new URL('package.json', folder))) return folder
  throw new MissingError(
    'PEERS_MISSING',
    `bench:peers: expected ${name} in bench/peers, got none; run "npm ci --prefix bench/peers"`,
  )
}
