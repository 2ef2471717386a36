package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.EnumDescriptor;
import com.google.protobuf.Descriptors.EnumValueDescriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.Descriptors.OneofDescriptor;
import com.google.protobuf.Descriptors.ServiceDescriptor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Consistency of the package with the repository. */
class ContractTest {
    @Test
    void javaNamesMatchTheContract() throws Exception {
        int fields = 0;
        for (FileDescriptor file : Contract.files()) {
            for (Descriptor message : file.getMessageTypes()) {
                Class<?> type = type(file, message.getName());
                for (FieldDescriptor field : message.getFields()) {
                    fields++;
                    String suffix = field.isMapField() ? "Map" : field.isRepeated() ? "List" : "";
                    String getter = "get" + camel(field.getName()) + suffix;
                    assertDoesNotThrow(() -> type.getMethod(getter), () -> type + " has no " + getter);
                }
                for (OneofDescriptor oneof : message.getRealOneofs()) {
                    assertDoesNotThrow(() -> type.getMethod("get" + camel(oneof.getName()) + "Case"));
                }
                for (var method : type.getMethods()) {
                    assertTrue(
                            !method.getName().contains("_") && !method.getName().matches("get.*(List|Count)\\d+"),
                            method::toString);
                }
            }
            for (EnumDescriptor values : file.getEnumTypes()) {
                Set<String> expected = new TreeSet<>(Set.of("UNRECOGNIZED"));
                values.getValues().stream().map(EnumValueDescriptor::getName).forEach(expected::add);
                Set<String> constants = new TreeSet<>();
                for (Object constant : type(file, values.getName()).getEnumConstants()) {
                    constants.add(((Enum<?>) constant).name());
                }
                assertEquals(expected, constants);
            }
            for (ServiceDescriptor service : file.getServices()) {
                Class<?> stubs = type(file, service.getName() + "Grpc");
                for (var method : service.getMethods()) {
                    assertDoesNotThrow(() -> stubs.getMethod("get" + method.getName() + "Method"));
                }
            }
        }
        assertTrue(fields > 300, "only " + fields + " fields were looked at");
    }

    private static Class<?> type(FileDescriptor file, String name) throws ClassNotFoundException {
        return Class.forName(file.getOptions().getJavaPackage() + "." + name);
    }

    private static String camel(String name) {
        StringBuilder camel = new StringBuilder();
        for (String word : name.split("_")) {
            camel.append(Character.toUpperCase(word.charAt(0))).append(word.substring(1));
        }
        return camel.toString();
    }

    @Test
    void versionEqualsTheServerVersion() throws IOException {
        Matcher version =
                Pattern.compile("(?m)^version = \"(.*)\"$").matcher(read(Sandbox.REPOSITORY.resolve("Cargo.toml")));
        assertTrue(version.find());
        assertEquals(version.group(1), System.getProperty("project.version"));
        assertEquals(version.group(1), SwitchboardClient.VERSION);
        assertTrue(read(Path.of("README.md")).contains("<version>" + version.group(1) + "</version>"));
    }

    @Test
    void licenceEqualsTheServerLicenceAndIsInTheJar() throws IOException {
        String licence = read(Sandbox.REPOSITORY.resolve("LICENSE"));
        assertEquals(licence, read(Path.of("LICENSE")));
        try (var packed = SwitchboardClient.class.getResourceAsStream("/META-INF/LICENSE")) {
            assertEquals(licence, new String(packed.readAllBytes(), java.nio.charset.StandardCharsets.UTF_8));
        }
    }

    @Test
    void readmeDependencyMatchesTheConsumerProject() throws IOException {
        Matcher piece = Pattern.compile("(?s)```xml\n(.*?)```").matcher(read(Path.of("README.md")));
        assertTrue(piece.find());
        String consumer = stripped(read(Path.of("src/test/consumer/pom.xml")));
        assertTrue(consumer.contains("<dependencies>" + stripped(piece.group(1)) + "</dependencies>"), consumer);
    }

    /** Every Java snippet of the README is part of an example or of {@link ReadmeSnippets}. */
    @Test
    void readmeSnippetsMatchCompiledSources() throws IOException {
        List<String> sources = new ArrayList<>();
        sources.add(stripped(read(Path.of("src/test/java/switchboard/client/ReadmeSnippets.java"))));
        try (Stream<Path> examples = Files.list(Path.of("src/examples/java/switchboard/examples"))) {
            for (Path example : examples.toList()) {
                sources.add(stripped(read(example)));
            }
        }
        Matcher piece = Pattern.compile("(?s)```java\n(.*?)```").matcher(read(Path.of("README.md")));
        int pieces = 0;
        for (; piece.find(); pieces++) {
            String shown = stripped(piece.group(1));
            assertTrue(sources.stream().anyMatch(source -> source.contains(shown)), () -> "not compiled:\n" + shown);
        }
        assertTrue(pieces >= 5, "only " + pieces + " snippets");
    }

    /** Removes indentation and empty lines. */
    private static String stripped(String text) {
        StringBuilder lines = new StringBuilder("\n");
        text.lines().map(String::strip).filter(line -> !line.isEmpty()).forEach(line -> lines.append(line)
                .append('\n'));
        return lines.toString();
    }

    private static String read(Path path) throws IOException {
        return Files.readString(path);
    }
}
