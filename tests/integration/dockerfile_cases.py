"""Dockerfiles that every tool must make the same image of, each with its context; together they use the whole language."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.dockerfile_oracles import Request
from tests.integration.image_writing import Node, directory, file, hard_link, link


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A Dockerfile and what it is built with."""

    name: str
    dockerfile: str
    files: tuple[Node, ...] = ()
    build_args: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    file_name: str = "Dockerfile"
    older: str | None = None
    """The same in words that tools without heredocs know."""
    is_of_words: bool = False
    """Whether all that can go wrong is what words mean: then one of pybuild's engines is as good as the other."""

    def write(self, context: Path, *, older: bool = False) -> Request:
        """The context in a new directory, with the Dockerfile; `older`: in the older words, where it has such."""
        context.mkdir(parents=True)
        for node in self.files:
            _put(context, node)
        text = self.older if older and self.older is not None else self.dockerfile
        path = context / self.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return Request(context=context, dockerfile=self.file_name, build_args=self.build_args, target=self.target)


def _put(context: Path, node: Node) -> None:
    path = context / node.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if node.kind == tarfile.DIRTYPE:
        path.mkdir(exist_ok=True)
    elif node.kind == tarfile.SYMTYPE:
        path.symlink_to(node.target)
        return
    elif node.kind == tarfile.LNKTYPE:
        os.link(context / node.target, path)
        return
    else:
        path.write_bytes(node.content)
    path.chmod(node.mode)


def _tar(*nodes: Node, compression: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        for node in nodes:
            info = tarfile.TarInfo(node.path)
            info.type, info.mode, info.linkname, info.mtime = node.kind, node.mode, node.target, 1_600_000_000
            info.uid, info.gid = node.owner
            info.size = len(node.content)
            archive.addfile(info, io.BytesIO(node.content))
    return buffer.getvalue()


_TEXTS = (
    file("one.txt", "1\n"),
    file("two.txt", "2\n"),
    file("three.md", "3\n"),
    file("with space.txt", "space\n"),
    file("sub/four.txt", "4\n"),
    file("sub/deep/five.txt", "5\n"),
    file("sub/deep/six.md", "6\n"),
    directory("empty"),
)

CASES: tuple[Case, ...] = (
    Case(
        name="quoting",
        is_of_words=True,
        dockerfile=r"""FROM small:1
ENV A="a b" B='c d' C=e\ f D="quote \"x\" \\ end" E='single "x" \n' F=a"b c"d'e f' G=
ENV H one  two   three
ENV I "quoted words" and more
ENV J=it\'s K="tab	inside" L='$A' M="\$A" N=\$A O="$A-$B"
RUN printf '%s|' "$A" "$B" "$C" "$D" "$E" "$F" "$G" "$H" "$I" "$J" "$K" "$L" "$M" "$N" "$O" >/out
LABEL "with space"="v 1" plain=v2 multi="first \
second" 'single'='q r' empty=""
LABEL legacy value with words
""",
    ),
    Case(
        name="json_and_shell_forms",
        dockerfile=r"""FROM small:1
ENV WORD=word
RUN ["sh", "-c", "echo $WORD >/from-exec"]
RUN ["touch", "/no-expansion-$WORD", "/with \"quote\"", "/uni-\u00e9"]
RUN ['sh' ] || echo "not JSON is shell" >/not-json
RUN [ -d /opt ] && echo "brackets of test" >/brackets
RUN echo "$WORD" 'and $WORD' \$WORD >/shell
ENTRYPOINT ["/bin/echo", "$WORD", "a b"]
CMD echo $WORD && true
""",
    ),
    Case(
        name="single_quoted_json_is_shell_form",
        is_of_words=True,
        dockerfile="FROM small:1\nENTRYPOINT ['/bin/echo', 'x']\nCMD [\"a\", 'b']\n",
    ),
    Case(
        name="env_scoping",
        is_of_words=True,
        dockerfile=r"""FROM small:1
ENV abc=hello
ENV abc=bye def=$abc
ENV ghi=$abc
ENV UNSET_USED=[$NOBODY_SET_THIS] DEFAULT=${NOBODY:-fallback} ALTERNATIVE=${abc:+there} NONE=${NOBODY:+there}
ENV NESTED=${NOBODY:-${abc}-${NOBODY:-deep}}
ENV PATH=/extra/bin:$PATH
ENV BASE_COPY="$BASE_WORD!" EMPTY="" EMPTY_DEFAULT=${EMPTY:-was-empty}
RUN echo "$abc $def $ghi $UNSET_USED $DEFAULT $ALTERNATIVE [$NONE] $NESTED $PATH $BASE_COPY [$EMPTY_DEFAULT]" >/out
""",
    ),
    Case(
        name="variables_in_every_instruction",
        dockerfile=r"""FROM small:1
ARG WHERE=/data
ARG WHO=app
ENV NAME=thing PORT=8080 SIGNAL=SIGUSR1
WORKDIR $WHERE/${NAME}s
COPY ${NAME}.txt ./copied-$NAME
COPY --chown=$WHO:${WHO} ${NAME}.txt owned
ADD $NAME.txt added-${NAME}/
USER ${WHO}
EXPOSE $PORT ${PORT}/udp
VOLUME ["${WHERE}/volume", "/plain"]
VOLUME $WHERE/second
STOPSIGNAL $SIGNAL
LABEL about="$NAME on $PORT" ${NAME}.key=1
CMD echo $NAME
""",
        files=(file("thing.txt", "thing\n"),),
    ),
    Case(
        name="escaped_dollars",
        dockerfile=r"""FROM small:1
ENV foo=/bar
WORKDIR ${foo}
ADD a.txt /\$foo
COPY a.txt \${foo}
ENV literal=\${foo} twice=\\$foo quoted='${foo}' double="\${foo}"
RUN echo "$literal $twice $quoted $double" >/out
""",
        files=(file("a.txt", "a\n"),),
    ),
    Case(
        name="build_args",
        dockerfile=r"""ARG BASE=small
ARG TAG
FROM ${BASE}:${TAG:-1}
ARG BASE
ARG GIVEN=default
ARG DEFAULTED=default
ARG DERIVED=${GIVEN}-${DEFAULTED}
ARG UNSET
ARG EMPTY=
ARG QUOTED="two words"
RUN echo "$BASE [$TAG] $GIVEN $DEFAULTED $DERIVED [$UNSET] [$EMPTY] $QUOTED" >/out
ENV KEPT=$GIVEN
""",
        build_args={"GIVEN": "from the command line"},
    ),
    Case(
        name="arg_scope_ends_with_its_stage",
        is_of_words=True,
        dockerfile=r"""ARG GLOBAL=global
FROM small:1 AS first
RUN echo "before [$GLOBAL] [$LOCAL]" >/one
ARG GLOBAL
ARG LOCAL=local
RUN echo "after [$GLOBAL] [$LOCAL]" >>/one
FROM small:1
RUN echo "other stage [$GLOBAL] [$LOCAL]" >/two
COPY --from=first /one /one
""",
    ),
    Case(
        name="arg_inherited_by_stage_on_stage",
        dockerfile=r"""FROM small:1 AS base
ARG INHERITED=yes
ENV FROM_BASE=$INHERITED
FROM base
RUN echo "[$INHERITED] [$FROM_BASE]" >/out
""",
    ),
    Case(
        name="env_of_the_name_of_an_arg",
        is_of_words=True,
        dockerfile=r"""FROM small:1
ARG VERSION=1
ENV VERSION=${VERSION:-fixed}
ARG OTHER=arg
ENV OTHER=env
RUN echo "$VERSION $OTHER" >/out
""",
        build_args={"VERSION": "2", "OTHER": "given"},
    ),
    Case(
        name="arg_of_the_name_of_an_env",
        is_of_words=True,
        dockerfile='FROM small:1\nENV WORD=env\nARG WORD=arg\nARG BASE_WORD=arg\nRUN echo "$WORD $BASE_WORD" >/out\n',
    ),
    Case(
        name="several_args_on_a_line",
        is_of_words=True,
        dockerfile='FROM small:1\nARG one=1 two=2 three\nRUN echo "$one $two [$three]" >/out\n',
        build_args={"two": "zwei"},
    ),
    Case(
        name="platform_args",
        dockerfile=r"""FROM --platform=linux/amd64 small:1
ARG TARGETPLATFORM
ARG TARGETOS
ARG TARGETARCH
RUN echo "$TARGETPLATFORM $TARGETOS $TARGETARCH" >/out
""",
    ),
    Case(
        name="shell_changes_all_shell_forms",
        dockerfile=r"""FROM small:1
SHELL ["/bin/ash", "-e", "-c"]
RUN echo "$0" >/out; false || true
HEALTHCHECK CMD check it
SHELL ["/bin/sh", "-x", "-c"]
RUN echo "two words" >/out2
ENTRYPOINT entry point
CMD the command
""",
    ),
    Case(
        name="shell_after_the_command",
        is_of_words=True,
        dockerfile='FROM small:1\nSHELL ["/bin/ash", "-e", "-c"]\nCMD the command\nSHELL ["/bin/sh", "-x", "-c"]\n',
    ),
    Case(
        name="escape_directive",
        is_of_words=True,
        dockerfile="# escape=`\nFROM small:1\nRUN echo one `\n two\\three >/out `\n && echo four >>/out\nLABEL a=1 `\n b=2\n",
    ),
    Case(
        name="escape_directive_in_words",
        dockerfile="# escape=`\nFROM small:1\nENV A=C:\\dir B=a` b C=`$A\nCOPY a.txt /dir\\name\n",
        files=(file("a.txt", "a\n"),),
    ),
    Case(
        name="directives_in_capitals",
        is_of_words=True,
        dockerfile="#  EsCaPe = ` \n# a comment ends the directives\n# escape=\\\nfrom small:1\nRun echo a `\n b >/out\n",
    ),
    Case(
        name="continuations",
        is_of_words=True,
        dockerfile="# comment\n\nFROM small:1\nRUN echo one \\\n# a comment inside\n   # an indented comment inside\n"
        "  two \\   \n  three >/out && \\\n\techo 'a # b' >>/out # to the shell\n"
        "ENV A=1 \\\n    B=2 \\\n# between\n    C=3\nLABEL a=1 \\\n  b=2\nRUN echo no\\\nspace >>/out\n"
        "RUN echo 'a\\\nb' >>/out\n",
    ),
    Case(
        name="blank_lines_in_continuations",
        is_of_words=True,
        dockerfile="FROM small:1\nRUN echo one \\\n\n  two \\\n   \n  >/out\nENV A=1 \\\n\n B=2\n",
    ),
    Case(name="last_line_without_end", dockerfile="FROM small:1\nRUN echo end >/out", is_of_words=True),
    Case(
        name="windows_line_ends",
        dockerfile='FROM small:1\r\nENV A=1 \\\r\n  B=2\r\nRUN echo $A \\\r\n  $B >/out\r\nCOPY a.txt /a.txt\r\nCMD ["sh"]\r\n',
        files=(file("a.txt", "a\r\n"),),
    ),
    Case(name="byte_order_mark", dockerfile="\ufeffFROM small:1\nRUN echo bom >/out\n", is_of_words=True),
    Case(
        name="keywords_in_small_letters",
        is_of_words=True,
        dockerfile="  from small:1 as stage\n\trun echo tab >/out\n  fRoM small:1\n  eNv a=b\n copy --from=stage /out /copied\ncmd true\n",
    ),
    Case(
        name="user",
        dockerfile=r"""FROM small:1
USER app
RUN echo "$(id -u) $(id -g) $(id -un) $HOME" >/tmp/named; touch ~/touched
USER 1001:1002
RUN echo "$(id -u) $(id -g) $HOME" >/tmp/numbers
USER worker:staff
RUN echo "$(id -u) $(id -g) $HOME" >/tmp/mixed
USER 4242
RUN echo "$(id -u) $(id -g) $HOME" >/tmp/unknown
COPY a.txt /still-root
WORKDIR /made/by/whom
USER app:workers
RUN id -g >/tmp/group
""",
        files=(file("a.txt", "a\n"),),
    ),
    Case(
        name="groups_of_the_user",
        dockerfile="FROM small:1\nUSER app\nRUN for group in $(id -G); do echo $group; done | grep -v 1000 >/tmp/other-groups\n",
    ),
    Case(
        name="workdir",
        dockerfile=r"""FROM small:1
WORKDIR /a
WORKDIR b
WORKDIR c/../d/
RUN pwd >where
WORKDIR "/with space"
COPY a.txt .
WORKDIR /opt/base/directory
RUN pwd >/pwd; touch here
WORKDIR sub
COPY a.txt ./
WORKDIR /home/app
WORKDIR /final/
""",
        files=(file("a.txt", "a\n"),),
    ),
    Case(
        name="copy_forms",
        dockerfile=r"""FROM small:1
COPY one.txt /renamed
COPY one.txt two.txt /many/
COPY *.txt /wild/
COPY sub /contents
COPY sub/ /slash/
COPY sub empty /merged/
COPY ["with space.txt", "/spaced/a b.txt"]
COPY sub/d*p /pattern/
COPY t[wh]* /class/
COPY . /all/
COPY one.txt /opt/base/directory/through-link
COPY /sub/../one.txt ./relative/
COPY missin[g].txt one.txt /optional/
""",
        files=_TEXTS,
    ),
    Case(
        name="copy_onto_a_link",
        dockerfile="FROM small:1\nCOPY one.txt /opt/base/link\n",
        files=_TEXTS,
        is_of_words=True,
    ),
    Case(
        name="copy_of_several_to_what_is_no_directory",
        is_of_words=True,
        dockerfile="FROM small:1\nCOPY one.txt two.txt /file\n",
        files=_TEXTS,
    ),
    Case(
        name="copy_modes_and_links",
        dockerfile="FROM small:1\nCOPY . /all/\nCOPY to-file /followed\nCOPY to-directory /followed-directory\nCOPY tree /tree\n",
        files=(
            file("private", "p\n", 0o600),
            file("program", "#!/bin/sh\n", 0o755),
            file("read-only", "r\n", 0o444),
            file("everybody", "e\n", 0o666),
            directory("closed", 0o700),
            file("closed/inside", "i\n"),
            directory("open", 0o777),
            file("tree/real", "real\n"),
            hard_link("tree/twin", "tree/real"),
            link("tree/relative", "real"),
            link("tree/absolute", "/opt/base/real"),
            link("tree/dangling", "nowhere"),
            link("to-file", "program"),
            link("to-directory", "tree"),
            file("ünïcode-☃", "snow\n"),
            file("quote'\"dollar$", "q\n"),
        ),
    ),
    Case(
        name="copy_chown_and_chmod",
        dockerfile=r"""FROM small:1
COPY --chown=app one.txt /by-name
COPY --chown=app:workers one.txt /by-names
COPY --chown=77 one.txt /by-id
COPY --chown=77:88 sub /directory
COPY --chown=:workers one.txt /only-group
COPY --chown=1000:staff one.txt /new/parents/file
COPY --chmod=600 one.txt /with-mode
COPY --chmod=0755 --chown=app:app sub /sub
ADD --chown=worker one.txt /added
""",
        files=_TEXTS,
    ),
    Case(
        name="copy_from_stage",
        dockerfile=r"""FROM small:1 AS Builder
RUN mkdir -p /out/dir /out/closed && echo b >/out/dir/file && ln -s dir/file /out/link && chmod 700 /out/closed \
 && chown -R app:workers /out/dir && echo x >/out/a.x && echo y >/out/b.x && ln /out/a.x /out/hard && chmod 4755 /out/b.x
FROM small:1 AS other
COPY --from=0 /out/a.x /by-index
RUN echo other >/file
FROM small:1
COPY --from=Builder /out /whole
COPY --from=Builder /out/dir/file /single
COPY --from=Builder /out/*.x /pattern/
COPY --from=Builder --chown=1001 /out/dir /owned
COPY --from=Builder /out/link /followed
COPY --from=other /file /by-index ./
COPY --from=1 file relative
WORKDIR /work
COPY --from=Builder out/dir dir
""",
    ),
    Case(
        name="names_of_stages_in_any_case",
        dockerfile="FROM small:1 AS First\nRUN echo first >/a\nFROM first AS second\nFROM small:1\n"
        "COPY --from=first /a /lower\nCOPY --from=SECOND /a /upper\n",
    ),
    Case(
        name="copy_from_image",
        dockerfile="FROM small:1\nCOPY --from=full:1 /srv/volume /taken\nCOPY --from=docker.io/library/bare:1 /etc/group /group\n",
    ),
    Case(
        name="stage_with_the_name_of_an_image",
        is_of_words=True,
        dockerfile="FROM small:1 AS bare\nRUN echo stage >/mark\nFROM bare\nCOPY --from=bare /mark /copied\n",
    ),
    Case(
        name="from_scratch",
        dockerfile="FROM small:1 AS tools\nRUN echo made >/made\nFROM scratch\nCOPY --from=tools /made /made\nCOPY a.txt /dir/\n"
        'ENV A=1\nCMD ["/made"]\n',
        files=(file("a.txt", "a\n"),),
    ),
    Case(
        name="target_in_the_middle",
        dockerfile="FROM small:1 AS first\nRUN echo first >/first\nFROM first AS second\nRUN echo second >/second\nCMD second\n"
        "FROM second AS third\nRUN echo third >/third\n",
        target="second",
    ),
    Case(
        name="unused_stages_are_not_built",
        dockerfile="FROM small:1 AS broken\nRUN exit 3\nFROM nobody-has-this-image:1 AS absent\nFROM small:1\nRUN echo ok >/out\n",
    ),
    Case(
        name="add",
        dockerfile=r"""FROM small:1
ADD plain.tar /plain/
ADD packed.tar.gz /gzip
ADD packed.tar.bz2 /bzip2/
ADD packed.tar.xz /xz/
ADD text.tar /text/
ADD one.txt /file
ADD sub /directory
ADD plain.tar text.tar /several/
ADD over.tar /opt/base/
COPY plain.tar /copied/
""",
        files=(
            *_TEXTS,
            file("text.tar", "no tar at all\n"),
            file(
                "plain.tar",
                _tar(
                    directory("d", 0o750, (1000, 50)),
                    file("d/f", "f\n", 0o640, (1000, 50)),
                    link("d/l", "f"),
                    hard_link("d/h", "d/f", 0o640),
                    file("./e", "e\n", 0o4755),
                ),
            ),
            file("packed.tar.gz", _tar(file("g", "g\n"), compression="gz")),
            file("packed.tar.bz2", _tar(file("b", "b\n"), compression="bz2")),
            file("packed.tar.xz", _tar(file("x", "x\n"), compression="xz")),
            file("over.tar", _tar(file("real/inner", "changed\n"), file("real/new", "new\n"))),
        ),
    ),
    Case(
        name="dockerignore",
        dockerfile="FROM small:1\nCOPY . /all/\nCOPY sub /sub/\n",
        files=(
            *_TEXTS,
            file(".git/config", "git\n"),
            file("a/b/c/deep.log", "log\n"),
            file("top.log", "log\n"),
            file("keep.log", "log\n"),
            file("a/keep.log", "log\n"),
            file("build/x", "x\n"),
            file("build/keep/y", "y\n"),
            file("build/keep/z", "z\n"),
            file("docs/a/index.md", "i\n"),
            file("docs/b/index.md", "i\n"),
            file("#literal", "l\n"),
            file("x1", "x\n"),
            file("x2", "x\n"),
            file("xyz", "x\n"),
            file(
                ".dockerignore",
                "# comment\n\n.git\n**/*.log\n!keep.log\n!a/keep.log\nbuild\n!build/keep/y\n  three.md  \nsub/deep\n"
                "docs/*/index.md\n!docs/b/index.md\nx?\n./two.txt\nempty/\n",
            ),
        ),
    ),
    Case(
        name="dockerignore_with_leading_slash",
        dockerfile="FROM small:1\nCOPY . /all/\n",
        files=(*_TEXTS, file(".dockerignore", "/three.md\n/sub/deep\n")),
    ),
    Case(
        name="dockerignore_with_windows_line_ends",
        dockerfile="FROM small:1\nCOPY . /all/\n",
        files=(*_TEXTS, file(".dockerignore", "*.md\r\nsub\r\n!sub/deep\r\n\r\n")),
    ),
    Case(
        name="dockerignore_hides_the_dockerfile",
        dockerfile="FROM small:1\nCOPY . /all/\n",
        files=(*_TEXTS, file(".dockerignore", "Dockerfile\n.dockerignore\n**/*.txt\n!**/five.txt\n")),
    ),
    Case(
        name="dockerignore_of_everything_but",
        dockerfile="FROM small:1\nCOPY . /all/\n",
        files=(*_TEXTS, file(".dockerignore", "*\n!sub/**/*.md\n!one.txt\n")),
    ),
    Case(
        name="dockerignore_beside_a_named_dockerfile",
        dockerfile="FROM small:1\nCOPY . /all/\n",
        file_name="docker/app.Dockerfile",
        files=(*_TEXTS, file(".dockerignore", "one.txt\n"), file("docker/app.Dockerfile.dockerignore", "two.txt\n")),
    ),
    Case(
        name="onbuild_is_recorded",
        dockerfile='FROM small:1\nONBUILD COPY . /src\nONBUILD RUN echo "$X" > /x \\\n  && true\nONBUILD ENV A=b\n'
        'ONBUILD CMD ["a", "b"]\nonbuild run lower\n',
    ),
    Case(
        name="onbuild_of_the_base_runs",
        dockerfile="FROM onbuild:1\nRUN cat /onbuild/greeting >/out\n",
        files=(file("a.txt", "a\n"),),
        build_args={"GREETING": "good day"},
    ),
    Case(
        name="onbuild_of_the_base_runs_in_its_stage_only",
        dockerfile="FROM onbuild:1 AS first\nFROM small:1\nCOPY --from=first /onbuild/greeting /g\n",
        files=(file("a.txt", "a\n"),),
    ),
    Case(
        name="healthcheck",
        dockerfile="FROM small:1\nHEALTHCHECK --interval=5m --timeout=3s --start-period=1m30s --retries=4 \\\n"
        '  CMD ["curl", "-f", "http://localhost/"]\n',
    ),
    Case(
        name="healthcheck_as_shell",
        dockerfile="FROM small:1\nHEALTHCHECK CMD test -f /ready || exit 1\n",
        is_of_words=True,
    ),
    Case(name="healthcheck_none", dockerfile="FROM full:1\nHEALTHCHECK NONE\n", is_of_words=True),
    Case(
        name="metadata",
        dockerfile=r"""FROM small:1
EXPOSE 80 443/tcp 53/udp
VOLUME /data /logs
VOLUME ["/with space"]
STOPSIGNAL 9
STOPSIGNAL SIGTERM
LABEL a=1 b=2
LABEL b=3 c="d e"
MAINTAINER Somebody <somebody@example.org>
""",
    ),
    Case(name="ports_in_other_words", dockerfile="FROM small:1\nEXPOSE 7000-7002 8080/TCP\n", is_of_words=True),
    Case(
        name="base_fields_are_inherited_and_overridden",
        dockerfile="FROM full:1\nLABEL level=2 own=x\nEXPOSE 81\nSTOPSIGNAL SIGINT\nWORKDIR child\nUSER root\n"
        "RUN pwd >/out && id -u >>/out\nENV BASE_WORD=changed\nVOLUME /srv/more\n",
    ),
    Case(
        name="command_after_a_volume",
        dockerfile="FROM small:1\nVOLUME /srv/volume /srv/more\nRUN echo x >/srv/volume/new && rm /srv/volume/kept\n",
    ),
    Case(
        name="entrypoint_takes_the_command_of_the_base_away",
        dockerfile='FROM full:1\nENTRYPOINT ["/bin/other"]\n',
        is_of_words=True,
    ),
    Case(name="command_leaves_the_entrypoint_of_the_base", dockerfile='FROM full:1\nCMD ["other"]\n', is_of_words=True),
    Case(
        name="command_before_entrypoint_stays",
        dockerfile='FROM full:1\nCMD ["mine"]\nENTRYPOINT ["/bin/other"]\n',
        is_of_words=True,
    ),
    Case(name="empty_entrypoint_and_command", dockerfile="FROM full:1\nENTRYPOINT []\nCMD []\n", is_of_words=True),
    Case(
        name="last_command_counts",
        is_of_words=True,
        dockerfile='FROM small:1\nCMD one\nCMD ["two"]\nENTRYPOINT a\nENTRYPOINT ["b", "c"]\n',
    ),
    Case(name="nothing_but_from", dockerfile="FROM full:1\n", is_of_words=True),
    Case(
        name="changes_of_every_kind",
        dockerfile=r"""FROM small:1
RUN mkdir -p /d/sub && echo 1 >/d/a && echo 2 >/d/sub/b && ln -s a /d/s && ln /d/a /d/hard && mkfifo /d/pipe
RUN rm /d/a && rm -r /d/sub && mkdir /d/sub && echo 3 >/d/sub/c
RUN rm -r /opt/base/real && echo file >/opt/base/real && rm /opt/base/link && mkdir /opt/base/link && touch /opt/base/link/x
RUN chmod 0711 /home/app && chown 1001:1002 /srv/base && chmod 6755 /opt/base/setuid && chmod 1777 /srv
RUN touch /d/stays && rm /d/stays && rm -rf /home/worker && mkdir -m 700 /home/worker && chown worker /home/worker
RUN echo more >>/etc/group && mv /srv/volume /srv/moved
RUN true
RUN umask 077 && mkdir /masked && touch /masked/file && umask >/umask-set
RUN umask >/umask && cat >/stdin
""",
    ),
    Case(
        name="what_a_command_sees",
        dockerfile=r"""FROM small:1
ENV OWN=1
WORKDIR /work
RUN env | grep -v -e ^HOSTNAME= -e =/dev/pybuild/ -e ^pybuild_base_ | sort >/env
RUN test -c /dev/null && test -w /dev/null && test -d /proc/self && test -r /dev/urandom
RUN echo x >/dev/null; ls -d /dev/shm /dev/pts /dev/fd /dev/stdout >/devices; readlink /dev/fd >>/devices
USER app
RUN env | grep -v -e ^HOSTNAME= -e =/dev/pybuild/ -e ^pybuild_base_ | sort >/tmp/env-app
""",
    ),
    Case(
        name="mounts_over_what_is_there",
        dockerfile=r"""FROM small:1
RUN --mount=type=tmpfs,target=/var/tmp touch /var/tmp/gone
RUN --mount=type=cache,target=/home/app touch /home/app/gone
RUN --mount=type=bind,target=/opt/base test -f /opt/base/one.txt
RUN --mount=type=bind,source=one.txt,target=/etc/group cat /etc/group >/out
RUN ls -d /var/tmp /home/app/* /opt/base/* /etc/group >>/out
""",
        files=_TEXTS,
    ),
    Case(
        name="mounts_of_run",
        dockerfile=r"""FROM small:1 AS first
RUN echo staged >/staged
FROM small:1
RUN --mount=type=bind,target=/ctx cat /ctx/one.txt >/from-context
RUN --mount=type=bind,from=first,source=/staged,target=/mnt/staged cat /mnt/staged >/from-stage
RUN --mount=type=tmpfs,target=/scratch echo gone >/scratch/file; echo $? >/tmpfs
RUN --mount=type=cache,target=/cache echo cached >/cache/file; echo $? >/cached
""",
        files=_TEXTS,
    ),
    Case(
        name="base_without_mount_points",
        dockerfile="FROM bare:1\nRUN echo hello >/out\nCOPY a.txt /tmp/a.txt\nWORKDIR /run/app\nRUN echo x >y\n",
        files=(file("a.txt", "a\n"),),
    ),
    Case(
        name="changes_where_engines_mount",
        dockerfile="FROM small:1\nRUN mkdir /run/service && touch /run/service/pid /tmp/left\n",
    ),
    Case(
        name="heredoc_run",
        dockerfile=r"""FROM small:1
ENV WORD=word
RUN <<EOF
echo "first $WORD" >/out
echo 'second $WORD' >>/out
printf 'a\tb\\n\n' >>/out
EOF
RUN <<-"END" && echo after >>/out
	echo "third $WORD" >>/out
	END
RUN cat <<ONE >/one && cat <<'TWO' >/two
one $WORD
ONE
two $WORD
TWO
""",
        older=r"""FROM small:1
ENV WORD=word
RUN echo "first $WORD" >/out; echo 'second $WORD' >>/out; printf 'a\tb\\n\n' >>/out
RUN echo after >>/out
RUN echo "one $WORD" >/one; echo 'two $WORD' >/two
""",
    ),
    Case(
        name="heredoc_run_with_interpreter",
        dockerfile=r"""FROM small:1
RUN <<EOF
#!/bin/ash -e
echo "$0" | head -c 1 >/out
false || echo went on >>/out
EOF
RUN sed -e 's/a/b/' >/sed <<EOF
banana
EOF
SHELL ["/bin/ash", "-e", "-c"]
RUN <<EOF
echo shell >/shell
true
EOF
RUN <<EOF
echo "a \\ b" '\\' >/backslashes
EOF
""",
        older=r"""FROM small:1
RUN printf / >/out; echo went on >>/out
RUN echo bbnana >/sed
SHELL ["/bin/ash", "-e", "-c"]
RUN echo shell >/shell
RUN echo "a \\ b" '\\' >/backslashes
""",
    ),
    Case(
        name="heredoc_copy",
        dockerfile=r"""FROM small:1
ENV WORD=word
COPY <<EOF /expanded
$WORD ${WORD} ${NONE:-none} \$WORD "quoted" 'single'
EOF
COPY <<'EOF' /literal
$WORD ${WORD} \$WORD \\
EOF
COPY --chown=app:workers --chmod=0750 <<-EOF /script
	#!/bin/sh
	echo tabs gone
	EOF
COPY <<one.conf <<two.conf one.txt /etc/many/
first
one.conf
second
two.conf
ADD <<EOF /added/
x
EOF
COPY <<EOF /empty
EOF
""",
        files=_TEXTS,
        older=r"""FROM small:1
ENV WORD=word
RUN printf '%s\n' 'word word none $WORD "quoted" '"'single'" >/expanded
RUN printf '%s\n' '$WORD ${WORD} \$WORD \\' >/literal
RUN printf '#!/bin/sh\necho tabs gone\n' >/script && chown app:workers /script && chmod 750 /script
COPY one.txt /etc/many/
RUN echo first >/etc/many/one.conf; echo second >/etc/many/two.conf; mkdir /added; echo x >/added/EOF; : >/empty
""",
    ),
    Case(
        name="heredoc_corners",
        dockerfile=r"""FROM small:1
USER app
WORKDIR /tmp
RUN <<EOF
# a comment
  echo "indented  $(id -un)" >out

echo 'single \ back\\slash $HOME' >>out
echo continued \
  line >>out
cat <<INNER >>out
inner $HOME
INNER
EOF
RUN <<EOF cat >before
text $HOME
EOF
RUN <<ONE <<TWO
echo never >never
ONE
echo never >never
TWO
RUN --mount=type=tmpfs,target=/var/tmp <<"EOF"
echo x >/var/tmp/x
ls /var/tmp >listed
EOF
COPY --chown=app <<EOF relative
# no comment

last line
EOF
RUN false; cat <<EOF >"with space" && cat relative >>with\ space
'quoted' "quoted" `echo command` \$HOME \\
EOF
""",
        older=r"""FROM small:1
USER app
WORKDIR /tmp
RUN echo "indented  app" >out; echo 'single \ back\\slash $HOME' >>out; echo continued line >>out; echo inner $HOME >>out
RUN echo "text $HOME" >before
RUN true
RUN echo x >listed
RUN printf '# no comment\n\nlast line\n' >relative
RUN printf '%s\n' "'quoted' \"quoted\" command \$HOME \\" >"with space" && cat relative >>with\ space
""",
    ),
    Case(
        name="copy_as_a_layer_of_its_own",
        dockerfile="FROM small:1\nCOPY --link one.txt /linked/\nADD --link --chown=app sub /linked\n",
        older="FROM small:1\nCOPY one.txt /linked/\nADD --chown=app sub /linked\n",
        files=_TEXTS,
    ),
)

REFUSED: tuple[Case, ...] = (
    Case(name="copy_of_what_is_not_there", dockerfile="FROM small:1\nCOPY missing.txt /\n"),
    Case(
        name="copy_of_what_is_ignored",
        dockerfile="FROM small:1\nCOPY one.txt /\n",
        files=(*_TEXTS, file(".dockerignore", "one.txt\n")),
    ),
    Case(name="copy_from_unknown_stage", dockerfile="FROM small:1\nCOPY --from=5 /a /a\n"),
    Case(name="command_that_fails", dockerfile="FROM small:1\nRUN exit 7\n"),
    Case(name="command_that_is_not_there", dockerfile="FROM small:1\nRUN no-such-command\n"),
    Case(name="unknown_user", dockerfile="FROM small:1\nUSER nobody-of-that-name\nRUN id\n"),
    Case(name="unknown_instruction", dockerfile="FROM small:1\nRUNN true\n"),
    Case(name="no_from", dockerfile="RUN true\n"),
    Case(name="empty_file", dockerfile="# nothing\n"),
    Case(name="env_without_value", dockerfile="FROM small:1\nENV A\n"),
    Case(name="env_with_loose_word", dockerfile="FROM small:1\nENV A=1 B\n"),
    Case(name="copy_of_one_word", dockerfile="FROM small:1\nCOPY one.txt\n", files=_TEXTS),
    Case(name="from_without_image", dockerfile="ARG BASE\nFROM ${BASE}\n"),
    Case(name="unclosed_quote", dockerfile='FROM small:1\nENV A="open\n'),
    Case(name="bad_substitution", dockerfile="FROM small:1\nENV A=${B\n"),
    Case(name="shell_that_is_no_json", dockerfile="FROM small:1\nSHELL /bin/sh -c\n"),
    Case(name="unknown_flag", dockerfile="FROM small:1\nCOPY --frm=x one.txt /\n", files=_TEXTS),
    Case(name="onbuild_of_from", dockerfile="FROM small:1\nONBUILD FROM small:1\n"),
    Case(
        name="bad_ignore_pattern",
        dockerfile="FROM small:1\nCOPY . /all\n",
        files=(*_TEXTS, file(".dockerignore", "[a-\n")),
    ),
    Case(name="unknown_target", dockerfile="FROM small:1\nRUN true\n", target="nope"),
    Case(name="image_that_is_not_there", dockerfile="FROM nobody-has-this-image:1\n"),
)
