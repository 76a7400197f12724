//! A directed graph of typed edges: strongly connected components, and the smallest cycle in each.

use std::collections::VecDeque;

/// Why one transaction comes after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    WriteWrite,
    WriteRead,
    ReadWrite,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::WriteWrite => "ww",
            Kind::WriteRead => "wr",
            Kind::ReadWrite => "rw",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    pub from: u32,
    pub to: u32,
    pub kind: Kind,
    /// The caller's own number for what shows it.
    pub witness: u32,
}

/// Steps that the search for small cycles may take in one component, per edge of it and once for all: it then
/// gives the smallest that it has found. A component of interleaved writes may hold the whole history.
const STEPS_PER_EDGE: usize = 8;
const STEPS_MIN: usize = 100_000;

/// Edges by where they begin.
pub struct Graph {
    /// By node: the first of its edges; one more at the end.
    first: Vec<usize>,
    edges: Vec<Edge>,
}

fn at(node: u32) -> usize {
    usize::try_from(node).expect("32 bits fit")
}

impl Graph {
    pub fn new(nodes: usize, edges: &[Edge]) -> Graph {
        let mut edges = edges.to_vec();
        edges.sort_by_key(|edge| (edge.from, edge.to, edge.kind));
        edges.dedup_by_key(|edge| (edge.from, edge.to, edge.kind));
        let mut first = vec![0; nodes + 1];
        for edge in &edges {
            first[at(edge.from) + 1] += 1;
        }
        for node in 0..nodes {
            first[node + 1] += first[node];
        }
        Graph { first, edges }
    }

    fn nodes(&self) -> usize {
        self.first.len() - 1
    }

    fn from(&self, node: usize) -> &[Edge] {
        &self.edges[self.first[node]..self.first[node + 1]]
    }

    /// One smallest cycle of edges of these kinds for each strongly connected component that has one.
    pub fn smallest_cycles(&self, kinds: &[Kind]) -> Vec<Vec<Edge>> {
        let components = self.components(kinds);
        let mut search = Search::new(self, &components);
        let cyclic = components
            .members
            .iter()
            .filter(|members| members.len() > 1);
        cyclic
            .filter_map(|members| {
                let starts = members.iter().map(|node| (*node, *node));
                search.smallest(starts, kinds, members)
            })
            .map(|(_, cycle)| from_lowest(cycle))
            .collect()
    }

    /// Cycles with one `rw` edge, and, for components that have none of those, with several.
    pub fn anti_dependency_cycles(&self) -> (Vec<Vec<Edge>>, Vec<Vec<Edge>>) {
        let all = [Kind::WriteWrite, Kind::WriteRead, Kind::ReadWrite];
        let components = self.components(&all);
        let mut search = Search::new(self, &components);
        let (mut single, mut several) = (Vec::new(), Vec::new());
        for members in components
            .members
            .iter()
            .filter(|members| members.len() > 1)
        {
            let anti: Vec<Edge> = self.anti_dependencies(members, &components);
            let starts = anti.iter().map(|edge| (edge.to, edge.from));
            let back = search.smallest(starts, &all[..2], members);
            if let Some((start, mut path)) = back {
                path.insert(0, anti[start]);
                single.push(path);
            } else if !anti.is_empty() {
                let starts = anti.iter().map(|edge| (edge.to, edge.from));
                if let Some((start, mut path)) = search.smallest(starts, &all, members) {
                    path.insert(0, anti[start]);
                    several.push(path);
                }
            }
        }
        (single, several)
    }

    fn anti_dependencies(&self, members: &[u32], components: &Components) -> Vec<Edge> {
        let edges = members.iter().flat_map(|node| self.from(at(*node)));
        let inside = edges.filter(|edge| {
            edge.kind == Kind::ReadWrite
                && components.of[at(edge.from)] == components.of[at(edge.to)]
        });
        inside.copied().collect()
    }

    /// Tarjan's algorithm, without recursion.
    fn components(&self, kinds: &[Kind]) -> Components {
        let mut tarjan = Tarjan {
            graph: self,
            kinds,
            next: 0,
            index: vec![u32::MAX; self.nodes()],
            low: vec![0; self.nodes()],
            stack: Vec::new(),
            components: Components {
                of: vec![u32::MAX; self.nodes()],
                members: Vec::new(),
            },
        };
        for node in 0..self.nodes() {
            if tarjan.index[node] == u32::MAX {
                tarjan.visit(node);
            }
        }
        tarjan.components
    }
}

/// The same cycle, told from its lowest node on.
fn from_lowest(mut cycle: Vec<Edge>) -> Vec<Edge> {
    let nodes = cycle.iter().enumerate();
    let lowest = nodes.min_by_key(|(_, edge)| edge.from);
    let first = lowest.map_or(0, |(index, _)| index);
    cycle.rotate_left(first);
    cycle
}

struct Components {
    /// By node; all have one.
    of: Vec<u32>,
    members: Vec<Vec<u32>>,
}

struct Tarjan<'a> {
    graph: &'a Graph,
    kinds: &'a [Kind],
    next: u32,
    index: Vec<u32>,
    low: Vec<u32>,
    stack: Vec<u32>,
    components: Components,
}

impl Tarjan<'_> {
    fn visit(&mut self, root: usize) {
        // Nodes on the way, each with the edge to look at next.
        let mut way = vec![(root, self.graph.first[root])];
        self.enter(root);
        while let Some((node, edge)) = way.last_mut() {
            let node = *node;
            if *edge == self.graph.first[node + 1] {
                way.pop();
                self.leave(node);
                if let Some((parent, _)) = way.last() {
                    self.low[*parent] = self.low[*parent].min(self.low[node]);
                }
                continue;
            }
            let next = self.graph.edges[*edge];
            *edge += 1;
            let to = at(next.to);
            if !self.kinds.contains(&next.kind) {
                continue;
            }
            if self.index[to] == u32::MAX {
                self.enter(to);
                way.push((to, self.graph.first[to]));
            } else if self.components.of[to] == u32::MAX {
                self.low[node] = self.low[node].min(self.index[to]);
            }
        }
    }

    fn enter(&mut self, node: usize) {
        self.index[node] = self.next;
        self.low[node] = self.next;
        self.next += 1;
        self.stack
            .push(u32::try_from(node).expect("fewer than 2^32 nodes"));
    }

    fn leave(&mut self, node: usize) {
        if self.low[node] != self.index[node] {
            return;
        }
        let number = u32::try_from(self.components.members.len()).expect("as many as nodes");
        let mut members = Vec::new();
        loop {
            let member = self.stack.pop().expect("its root is on the stack");
            self.components.of[at(member)] = number;
            members.push(member);
            if at(member) == node {
                break;
            }
        }
        self.components.members.push(members);
    }
}

/// Breadth-first searches inside of components; what they need is allocated once.
struct Search<'a> {
    graph: &'a Graph,
    components: &'a Components,
    /// By node: the round that reached it, and the edge it did by.
    round: Vec<u32>,
    by: Vec<usize>,
    rounds: u32,
}

impl<'a> Search<'a> {
    fn new(graph: &'a Graph, components: &'a Components) -> Search<'a> {
        Search {
            graph,
            components,
            round: vec![0; graph.nodes()],
            by: vec![0; graph.nodes()],
            rounds: 0,
        }
    }

    /// The shortest of the ways from a start to its goal, and which start it is. A way has one edge at least.
    fn smallest(
        &mut self,
        starts: impl Iterator<Item = (u32, u32)>,
        kinds: &[Kind],
        members: &[u32],
    ) -> Option<(usize, Vec<Edge>)> {
        let edges = members.iter().map(|node| self.graph.from(at(*node)).len());
        let mut steps = STEPS_MIN + STEPS_PER_EDGE * edges.sum::<usize>();
        let mut best: Option<(usize, Vec<Edge>)> = None;
        for (index, (start, goal)) in starts.enumerate() {
            let limit = best.as_ref().map_or(usize::MAX, |(_, way)| way.len());
            // Nothing is shorter than a step there and one back.
            if limit <= 1 || steps == 0 {
                break;
            }
            if let Some(way) = self.way(start, goal, kinds, limit, &mut steps) {
                best = Some((index, way));
            }
        }
        best
    }

    /// The shortest way if it has fewer than `limit` edges.
    fn way(
        &mut self,
        start: u32,
        goal: u32,
        kinds: &[Kind],
        limit: usize,
        steps: &mut usize,
    ) -> Option<Vec<Edge>> {
        self.rounds += 1;
        let component = self.components.of[at(start)];
        let mut queue = VecDeque::from([(start, 1)]);
        while let Some((node, length)) = queue.pop_front() {
            if length >= limit {
                return None;
            }
            for index in self.graph.first[at(node)]..self.graph.first[at(node) + 1] {
                *steps = steps.saturating_sub(1);
                if *steps == 0 {
                    return None;
                }
                let edge = self.graph.edges[index];
                let to = at(edge.to);
                if !kinds.contains(&edge.kind) || self.components.of[to] != component {
                    continue;
                }
                if edge.to == goal {
                    return Some(self.back(start, edge));
                }
                if self.round[to] != self.rounds {
                    self.round[to] = self.rounds;
                    self.by[to] = index;
                    queue.push_back((edge.to, length + 1));
                }
            }
        }
        None
    }

    fn back(&self, start: u32, last: Edge) -> Vec<Edge> {
        let mut way = vec![last];
        let mut node = last.from;
        while node != start {
            let edge = self.graph.edges[self.by[at(node)]];
            way.push(edge);
            node = edge.from;
        }
        way.reverse();
        way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(u32, u32, Kind)]) -> Graph {
        let edges = edges.iter().map(|&(from, to, kind)| Edge {
            from,
            to,
            kind,
            witness: 0,
        });
        Graph::new(10, &edges.collect::<Vec<Edge>>())
    }

    fn nodes(cycles: &[Vec<Edge>]) -> Vec<Vec<u32>> {
        let nodes = |cycle: &Vec<Edge>| cycle.iter().map(|edge| edge.from).collect();
        cycles.iter().map(nodes).collect()
    }

    #[test]
    fn the_smallest_cycle_of_each_component_is_found() {
        use Kind::{ReadWrite, WriteRead, WriteWrite};
        let graph = graph(&[
            (0, 1, WriteRead),
            (1, 2, WriteRead),
            (2, 3, WriteRead),
            (3, 0, WriteRead),
            (2, 1, WriteRead),
            (3, 4, WriteRead),
            (4, 5, WriteWrite),
            (5, 4, WriteWrite),
            (6, 7, ReadWrite),
            (7, 6, ReadWrite),
            (8, 9, ReadWrite),
            (9, 8, WriteRead),
        ]);
        let sorted = |cycles: &[Vec<Edge>]| {
            let mut cycles = nodes(cycles);
            cycles.iter_mut().for_each(|cycle| cycle.sort_unstable());
            cycles
        };
        assert_eq!(sorted(&graph.smallest_cycles(&[WriteRead])), [[1, 2]]);
        assert_eq!(sorted(&graph.smallest_cycles(&[WriteWrite])), [[4, 5]]);
        let (single, several) = graph.anti_dependency_cycles();
        assert_eq!(sorted(&single), [[8, 9]]);
        assert_eq!(sorted(&several), [[6, 7]]);
    }

    #[test]
    fn a_long_ring_needs_no_stack() {
        let count = 200_000;
        let ring: Vec<Edge> = (0..count)
            .map(|node| Edge {
                from: node,
                to: (node + 1) % count,
                kind: Kind::WriteRead,
                witness: node,
            })
            .collect();
        let graph = Graph::new(at(count), &ring);
        let cycles = graph.smallest_cycles(&[Kind::WriteRead]);
        assert_eq!((cycles.len(), cycles[0].len()), (1, at(count)));
    }
}
