/**
 * The model that shards are done with, and what a shard and a worker must agree on.
 */
import { refusal } from '../io/refusal.ts'
import type { Shard } from './shard.ts'
import type { Storage } from '../engine/matrix.ts'
import type { OptModel } from '../engine/opt_model.ts'
import { describeValue } from '../tensor/arguments.ts'
import type { MethodHash } from '../results/method_hash.ts'
import { bitsOf } from './model_threads.ts'

/** A model, and the hashes by which shards refer to it. */
export interface ShardModel {
  readonly model: OptModel
  /** SHA-256 of the model's files. */
  readonly hash: string
  /** The hash of the sources that decide the numbers: results of other versions are not mixed. */
  readonly method: MethodHash
}

/**
 * The part of a shard's settings that identifies its model. Stores are shared, so it includes everything that changes a
 * result: also the bits of the backend and the storage of the weights.
 */
export interface Agreement {
  readonly model: string
  readonly method: string
  readonly bits: string
  readonly storage: Storage
}

/** The agreement of shards for this model. @param part the part of the method they depend on */
export function agreementOf({ model, hash, method }: ShardModel, part: keyof MethodHash): Agreement {
  const { backend, weights } = model
  return { model: hash, method: method[part], bits: bitsOf(backend.name), storage: weights.storage }
}

/** Refuses a shard of another model, another version, other bits. @throws InputError SHARD_MODEL */
export function checkAgreement(ours: ShardModel, part: keyof MethodHash, settings: Shard['settings']): void {
  for (const [what, expected] of Object.entries(agreementOf(ours, part)))
    checkAgreed(what as keyof Agreement, expected as string, settings[what])
}

/** Refuses one value that differs from ours. @throws InputError SHARD_MODEL */
export function checkAgreed(what: keyof Agreement, ours: string, theirs: unknown): void {
  if (theirs !== ours) throw refusal('SHARD_MODEL', `shard ${what}`, ours, describeValue(theirs))
}
