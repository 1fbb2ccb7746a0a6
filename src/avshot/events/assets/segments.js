"use strict";
// Scores in time to events, number by number as avshot.events.segments does it; the tests compare the two.

const ADJACENT = 1.5; // hops between two windows beyond which there is a gap in the scores

/**
 * Events of one recording.
 * track: {names, time: [window], hop, duration, probability: [class][window], sound: null or [class][window]}.
 * settings: {begin, stay, merge, shortest, refine, begins: {name: begin}}.
 * Returns [{name, start, end, probability, sound}], by start, end and name.
 */
function findEvents(track, settings) {
  const duration = track.duration > 0 ? track.duration : Infinity;
  const found = track.names.flatMap((name, j) => {
    const own = Object.hasOwn(settings.begins, name) ? settings.begins[name] : settings.begin;
    const pieces = joined(piecesOf(track, j, own, own * settings.stay, settings.refine), settings.merge);
    return pieces.map((piece) => eventOf(piece, name, duration)).filter((event) => event !== null);
  });
  return found
    .filter((event) => event.end - event.start >= settings.shortest)
    .sort((a, b) => a.start - b.start || a.end - b.end || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function piecesOf(track, j, begin, low, refine) {
  const values = track.probability[j], sounds = track.sound === null ? null : track.sound[j];
  const time = track.time, half = track.hop / 2, pieces = [];
  const near = (i) => i > 0 && i < time.length && time[i] - time[i - 1] <= ADJACENT * track.hop;
  // When the line from window i - 1 to window i crosses the low threshold, or else the border of a window's cell.
  const edge = (i, border) => {
    if (!refine || !near(i) || !Number.isFinite(values[i - 1]) || !Number.isFinite(values[i])) return border;
    return time[i - 1] + (low - values[i - 1]) / (values[i] - values[i - 1]) * (time[i] - time[i - 1]);
  };
  for (let i = 0; i < time.length; i++) {
    if (!(values[i] >= low)) continue;
    const piece = { start: edge(i, time[i] - half), peak: 0, weight: 0, sound: 0 };
    for (; ; i++) {
      piece.peak = Math.max(piece.peak, values[i]);
      piece.weight += values[i];
      piece.sound += sounds === null ? 0 : values[i] * sounds[i];
      if (!near(i + 1) || !(values[i + 1] >= low)) break;
    }
    // The cell of the last window ends where that of a window close behind it begins.
    piece.end = edge(i + 1, near(i + 1) ? time[i + 1] - half : time[i] + half);
    piece.known = sounds !== null;
    if (piece.peak >= begin) pieces.push(piece);
  }
  return pieces;
}

function joined(pieces, merge) {
  const found = [];
  for (const piece of pieces) {
    const before = found[found.length - 1];
    if (before === undefined || piece.start - before.end >= merge) {
      found.push({ ...piece });
      continue;
    }
    before.end = piece.end;
    before.peak = Math.max(before.peak, piece.peak);
    before.weight += piece.weight;
    before.sound += piece.sound;
  }
  return found;
}

function eventOf(piece, name, duration) {
  const start = Math.max(0, piece.start), end = Math.min(duration, piece.end);
  if (end <= start) return null;
  const sound = piece.known ? Math.min(1, Math.max(0, piece.sound / piece.weight)) : null;
  return { name, start, end, probability: Math.min(1, piece.peak), sound };
}

/** Share of two spans of time that they have in common, 0 to 1. */
function overlap(a, b) {
  const common = Math.min(a.end, b.end) - Math.max(a.start, b.start);
  const both = Math.max(a.end, b.end) - Math.min(a.start, b.start);
  return both > 0 ? Math.max(0, common) / both : 1;
}

/** A table as text; cells with a comma, a quote or a line end stand in quotes. */
function tableText(rows) {
  const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return rows.map((row) => row.map((value) => cell(String(value))).join(",") + "\n").join("");
}

if (typeof module !== "undefined") module.exports = { findEvents, overlap, tableText };
