/**
 * What a shard is done with besides its files, and what both sides must agree on.
 */
import { refusal } from '../io/refusal.ts'
import type { Shard } from './shard.ts'
import type { Storage } from '../engine/matrix.ts'
import type { OptModel } from '../engine/opt_model.ts'
import { describeValue } from '../tensor/arguments.ts'
import type { MethodHash } from '../results/method_hash.ts'
import { bitsOf } from './model_threads.ts'

/** A model, and the hashes by which shards ask for it. */
export interface ShardModel {
  readonly model: OptModel
  /** SHA-256 of the model's files. */
  readonly hash: string
  /** Of the sources that decide what a number is: results of another version are never taken for ours. */
  readonly method: MethodHash
}

/**
 * What a shard's settings say of the model it is for. Stores are shared, so all that tells one result from another is in
 * them: the backend's bits and what weights are stored as, too.
 */
export interface Agreement {
  readonly model: string
  readonly method: string
  readonly bits: string
  readonly storage: Storage
}

/** What shards for this model say. @param part of the method: the one they depend on */
export function agreementOf({ model, hash, method }: ShardModel, part: keyof MethodHash): Agreement {
  const { backend, weights } = model
  return { model: hash, method: method[part], bits: bitsOf(backend.name), storage: weights.storage }
}

/** Refuses a shard of another model, another version, other bits. @throws InputError SHARD_MODEL */
export function checkAgreement(ours: ShardModel, part: keyof MethodHash, settings: Shard['settings']): void {
  for (const [what, expected] of Object.entries(agreementOf(ours, part)))
    checkAgreed(what as keyof Agreement, expected as string, settings[what])
}

/** Refuses one thing that is not what it is here. @throws InputError SHARD_MODEL */
export function checkAgreed(what: keyof Agreement, ours: string, theirs: unknown): void {
  if (theirs !== ours) throw refusal('SHARD_MODEL', `shard ${what}`, ours, describeValue(theirs))
}
